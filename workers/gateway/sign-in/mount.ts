import type { Hono } from "hono";
import { completeSignIn, requestCode, signIn } from "../../../shared/api/sign-in.ts";
import type { GatewayTypes } from "../context.ts";
import { serve } from "../serve.ts";
import { sendCode } from "./send-code.ts";
import { signInWithCode, signInWithProof } from "./sign-in.ts";

export function mountSignIn(gateway: Hono<GatewayTypes>): void {
  serve(gateway, requestCode, sendCode);
  serve(gateway, signIn, signInWithCode);
  serve(gateway, completeSignIn, signInWithProof);
}
