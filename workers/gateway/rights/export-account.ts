import { strToU8, zipSync } from "fflate";
import type * as rights from "../../../shared/api/rights.ts";
import { readDirectory } from "../archives/directory.ts";
import type { Serve } from "../serve.ts";
import { accountPage } from "./account-page.ts";
import { accountRecord } from "./account-record.ts";

export const exportAccount: Serve<typeof rights.exportAccount> = async ({ c, caller, db }) => {
  const stub = c.env.USER.getByName(caller.user);
  const [overview, devices] = await Promise.all([stub.overview(), stub.listDevices()]);
  const keys = await Promise.all(devices.map(({ device }) => stub.askKeys({ device })));
  const directory = await readDirectory(c.env, caller.user);
  const record = await accountRecord({ db, user: caller.user, overview, devices, keys, directory });
  const archive = zipSync({
    "account.json": strToU8(JSON.stringify(record, undefined, 2)),
    "account.html": strToU8(await accountPage(record)),
  });
  return c.body(archive, 200, {
    "content-type": "application/zip",
    "content-disposition": 'attachment; filename="sandpiper-account.zip"',
  });
};
