import { ulid } from "ulid";
import type { BodyOf } from "../../../shared/api/endpoint.ts";
import type { completeSignIn, Session } from "../../../shared/api/sign-in.ts";
import { Refusal } from "../../../shared/errors.ts";
import type { DeviceId, UserId } from "../../../shared/ids.ts";
import type { RegisterDevice, RegisterDeviceReply } from "../../../shared/rpc.ts";
import { type ClaimsOf, issueToken } from "../auth/tokens.ts";
import { BOOKMARK_HEADER, type Database, openPrimary } from "../database/database.ts";
import { deleteUser, insertUser, userByPhoneHash, userExists } from "../database/users.ts";
import { locationHintOf, placeOf } from "../location.ts";
import type { Call } from "../serve.ts";
import { sessionAnswer } from "../session/session-answer.ts";
import { pinVerifier } from "./pin.ts";
import { verificationOf } from "./verification.ts";

type Asking = Pick<Call, "c" | "requestId">;
/** That the caller had a right code for a number. */
type Evidence = ClaimsOf<"proof">;
type Wishes = Omit<BodyOf<typeof completeSignIn>, "proof">;

/**
 * Signs a device in whose bearer has shown that the number is theirs. Everything that can be refused is refused before
 * the proof is used up, so that it is good for another try.
 * @throws Refusal pin_required, pin_wrong, too_many_devices, rate_limited and not_found with the proof, unauthenticated
 */
export async function enter(asking: Asking, evidence: Evidence, wishes: Wishes): Promise<Session> {
  const { c } = asking;
  const { db, bookmark } = openPrimary(c);
  const former = await userByPhoneHash(db, evidence.sub);
  const owner = former && (await mayEnter(asking, former.id, evidence, wishes)) ? former.id : undefined;
  if (wishes.device.id !== undefined) await requireDevice(asking, owner, evidence, wishes.device.id);
  const redeemed = await verificationOf(c.env, evidence.sub).redeem(evidence.proof);
  if (!redeemed.ok) throw new Refusal("unauthenticated");
  if (former && !owner) await giveUp(asking, db, former.id);
  const account = owner ? { user: owner, isNew: false } : await createAccount(db, evidence);
  // What this device reads next must not miss the account.
  c.header(BOOKMARK_HEADER, bookmark());
  return admitDevice(asking, account, wishes);
}

/** False: the account is to be given up; whoever may enter it gives nothing up. @throws Refusal with the proof */
async function mayEnter(asking: Asking, user: UserId, evidence: Evidence, wishes: Wishes): Promise<boolean> {
  const { env } = asking.c;
  const { pin, device, revokeOthers, reset } = wishes;
  const reply = await env.USER.getByName(user).assessSignIn({
    ...(pin !== undefined && { verifier: await pinVerifier(env, user, pin) }),
    ...(device.id !== undefined && { device: device.id }),
    revokeOthers,
  });
  if (reply.ok) return true;
  if (reset && reply.canReset) return false;
  const proof = await proofOf(asking, evidence);
  throw new Refusal(reply.code, reply.retry, { proof, canReset: reply.canReset });
}

/** Only a device of this very account is signed in again. @throws Refusal not_found with the proof */
async function requireDevice(
  asking: Asking,
  user: UserId | undefined,
  evidence: Evidence,
  id: DeviceId,
): Promise<void> {
  const devices = user ? await asking.c.env.USER.getByName(user).listDevices() : [];
  if (devices.some(({ device }) => device === id)) return;
  throw new Refusal("not_found", undefined, { proof: await proofOf(asking, evidence) });
}

async function proofOf({ c }: Asking, evidence: Evidence): Promise<string> {
  return (await issueToken(c.env.TOKEN_KEYS, "proof", evidence)).token;
}

/** The removal goes on by itself once it has begun; the number must be free at once. */
async function giveUp({ c, requestId }: Asking, db: Database, user: UserId): Promise<void> {
  await c.env.USER.getByName(user).removePerson({ requestId });
  await deleteUser(db, user);
}

/** Of two first sign-ins at once one makes the account and the other finds it. */
async function createAccount(db: Database, { sub: phoneHash, phoneEnd }: Evidence) {
  const id = ulid();
  await insertUser(db, { id, phoneHash, phoneEnd, createdAt: Date.now() });
  const made = await userByPhoneHash(db, phoneHash);
  if (!made) throw new Refusal("unavailable");
  return { user: made.id, isNew: made.id === id };
}

interface Account {
  readonly user: UserId;
  readonly isNew: boolean;
}

async function admitDevice(asking: Asking, account: Account, wishes: Wishes): Promise<Session> {
  const { c, requestId } = asking;
  const { device: wanted, revokeOthers, cookie } = wishes;
  const device = wanted.id ?? ulid();
  const fields = { device, name: wanted.name, ...placeOf(c.req.raw), revokeOthers, requestId };
  const registered = await register(asking, account, fields);
  // Whose account goes while they sign in has nowhere to enter.
  if (!registered.ok) throw new Refusal(registered.code === "not_found" ? "unauthenticated" : registered.code);
  return sessionAnswer(c, { ...account, device, session: registered.session, cookie });
}

/**
 * An account that was removed while its owner signed in does not come back by that. One that stands in the database alone
 * is of a sign-up that broke off before its first device: there it is begun. A removal takes the row first, so that a row
 * which still stands afterwards shows that nobody was brought back.
 */
async function register({ c }: Asking, account: Account, fields: RegisterDevice): Promise<RegisterDeviceReply> {
  const stub = c.env.USER.getByName(account.user, locationHintOf(c.req.raw));
  if (account.isNew) return stub.registerDevice(fields);
  const registered = await stub.registerDevice({ ...fields, mustExist: true });
  if (registered.ok || registered.code !== "not_found") return registered;
  const stands = () => userExists(openPrimary(c).db, account.user);
  if (!(await stands())) return registered;
  const begun = await stub.registerDevice(fields);
  if (await stands()) return begun;
  await stub.removePerson({ requestId: fields.requestId });
  return registered;
}
