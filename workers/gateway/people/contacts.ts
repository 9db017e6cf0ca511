import type * as people from "../../../shared/api/people.ts";
import { Refusal } from "../../../shared/errors.ts";
import * as contacts from "../database/contacts.ts";
import type { Serve } from "../serve.ts";
import { setPeer } from "./peers.ts";

export const listContacts: Serve<typeof people.listContacts> = async ({ caller, db }) => {
  const found = await contacts.contactsOf(db, caller.user);
  return { contacts: found.map((contact) => ({ ...contact, username: contact.username ?? undefined })) };
};

export const addContact: Serve<typeof people.addContact> = async (call) => {
  const { caller, params, db } = call;
  if (params.user === caller.user) throw new Refusal("not_found");
  const outcome = await contacts.addContact(db, { owner: caller.user, other: params.user, at: Date.now() });
  if (outcome !== "added") throw new Refusal(outcome);
  await setPeer(call, params.user, "accept");
};

export const removeContact: Serve<typeof people.removeContact> = async ({ caller, params, db }) => {
  await contacts.removeContact(db, caller.user, params.user);
};
