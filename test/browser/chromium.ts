import { existsSync } from "node:fs";
import { type BrowserServer, chromium } from "playwright-core";
import type { TestProject } from "vitest/node";

/** The one browser of a whole run; every test file has pages of its own in it. */
export default async function setup({ provide }: TestProject): Promise<() => Promise<void>> {
  const server = await launchChromium();
  provide("chromium", server.wsEndpoint());
  return () => server.close();
}

const SYSTEM_CHROMIUM = "/usr/bin/chromium";

/** Nothing that calls out, and no sandbox: inside a container there is none. */
const args = [
  ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
  ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
];

/** @throws if there is none */
export async function launchChromium(): Promise<BrowserServer> {
  if (existsSync(SYSTEM_CHROMIUM)) return chromium.launchServer({ executablePath: SYSTEM_CHROMIUM, args });
  if (existsSync(chromium.executablePath())) return chromium.launchServer({ args });
  throw new Error(
    "The browser tests need Chromium: `apt install chromium` on Debian, elsewhere `npx playwright-core install chromium`.",
  );
}

declare module "vitest" {
  interface ProvidedContext {
    /** Where the browser listens. */
    chromium: string;
  }
}
