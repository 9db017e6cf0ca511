import { ChatError, requestCode, signIn, signInByLink } from "../../client/index.ts";
import type { CodeReader } from "../codes.ts";
import type { Device } from "./device.ts";

/** The device's owner signs up with their phone number and the code that is sent to it, and gives a name. */
export async function signUp(device: Device, phone: string, codeFor: CodeReader): Promise<void> {
  const { owner, kind, url } = device.options;
  const code = await codeFor(phone, () => requestCode(url, phone)).catch((error: unknown) => {
    throw error instanceof ChatError ? new Error(`${url} sends no code (${error.code}).`, { cause: error }) : error;
  });
  device.tell(`asks for a code for ${phone}, and is sent ${code}`);
  const account = await signIn({ url, store: device.store, phone, code, deviceName: kind });
  if (!account.isNew) throw new Error(`${phone} has an account at ${url} already; run it again for another number.`);
  await account.profile.update({ name: owner });
  await device.enter(account);
  device.tell("is signed up");
}

/** Everybody else's numbers are in the address book; whoever is found is added to the contacts. */
export async function findFriends(device: Device, addressBook: readonly string[]): Promise<void> {
  const { contacts } = device.account;
  const found = await contacts.discover(addressBook);
  for (const { user } of found) await contacts.add(user);
  device.tell(`finds ${found.map(({ name }) => name).join(" and ")} in the address book`);
}

/** A new device without a phone number: it shows a QR code, which one that is signed in scans. */
export async function linkDevice(added: Device, scanner: Device): Promise<void> {
  const { kind: deviceName, url } = added.options;
  const link = await signInByLink({ url, store: added.store, deviceName });
  added.tell(`shows a QR code  ${added.options.terminal.paint("dim", `${link.qr.slice(0, 40)}…`)}`);
  const shown = await scanner.app.devices.view(link.qr);
  scanner.tell(`scans it, and its owner confirms: “${shown.deviceName}”`);
  const linking = scanner.app.devices.link(link.qr, { history: false });
  const { account, accountKey, history } = await link.linked();
  await added.enter(account, { accountKey });
  await added.app.devices.receiveHistory(history);
  await linking;
  added.tell("is signed in, and has the account’s key");
}
