import * as archives from "./archives.ts";
import * as devices from "./devices.ts";
import * as encryption from "./encryption.ts";
import type { Endpoint } from "./endpoint.ts";
import * as people from "./people.ts";
import * as rights from "./rights.ts";
import * as service from "./service.ts";
import * as session from "./session.ts";
import * as signIn from "./sign-in.ts";

/** Everything that can be asked over HTTP, but the upgrade to a socket (docs/protocol.md §3). */
export const endpoints: readonly Endpoint[] = [
  signIn,
  session,
  devices,
  people,
  encryption,
  archives,
  rights,
  service,
].flatMap((group) => Object.values(group).filter(isEndpoint));

function isEndpoint(value: unknown): value is Endpoint {
  return typeof value === "object" && value !== null && "method" in value && "path" in value;
}
