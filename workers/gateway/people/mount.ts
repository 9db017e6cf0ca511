import type { Hono } from "hono";
import * as people from "../../../shared/api/people.ts";
import type { GatewayTypes } from "../context.ts";
import { serve } from "../serve.ts";
import { block, listBlocked, unblock } from "./blocks.ts";
import { addContact, listContacts, removeContact } from "./contacts.ts";
import { discoverContacts, findUsername, openUserLink } from "./finding.ts";
import { getPrivacy, setPrivacy } from "./privacy.ts";
import { getMe, removeLink, rotateLink, updateMe } from "./profile.ts";
import { report } from "./report.ts";
import { acceptRequest, listRequests } from "./requests.ts";
import { confirmUsername, releaseUsername, reserveUsername } from "./usernames.ts";
import { viewPerson } from "./viewing.ts";

export function mountPeople(gateway: Hono<GatewayTypes>): void {
  serve(gateway, people.getMe, getMe);
  serve(gateway, people.updateMe, updateMe);
  serve(gateway, people.rotateLink, rotateLink);
  serve(gateway, people.removeLink, removeLink);
  serve(gateway, people.reserveUsername, reserveUsername);
  serve(gateway, people.confirmUsername, confirmUsername);
  serve(gateway, people.releaseUsername, releaseUsername);
  serve(gateway, people.findUsername, findUsername);
  serve(gateway, people.openUserLink, openUserLink);
  serve(gateway, people.discoverContacts, discoverContacts);
  serve(gateway, people.viewPerson, viewPerson);
  serve(gateway, people.listContacts, listContacts);
  serve(gateway, people.addContact, addContact);
  serve(gateway, people.removeContact, removeContact);
  serve(gateway, people.listRequests, listRequests);
  serve(gateway, people.acceptRequest, acceptRequest);
  serve(gateway, people.listBlocked, listBlocked);
  serve(gateway, people.block, block);
  serve(gateway, people.unblock, unblock);
  serve(gateway, people.report, report);
  serve(gateway, people.getPrivacy, getPrivacy);
  serve(gateway, people.setPrivacy, setPrivacy);
}
