// Answers everybody with their own words. While `npm start` runs: npx node examples/echo-bot.ts "+33 1 99 00 00 01"
import { readFile, writeFile } from "node:fs/promises";
import { createInterface } from "node:readline/promises";
import { Account, Chat, isText, requestCode, signIn } from "../client/index.ts";
import { SqliteStore } from "../client/node/index.ts";

const [phone = "", url = "http://127.0.0.1:8787", file = ".sandpiper/echo-bot"] = process.argv.slice(2);
const store = new SqliteStore(`${file}.db`);
const account = (await Account.open({ url, store })) ?? (await enter());
await using chat = await Chat.open({ account, store, client: "echo-bot 1" });
chat.connection.open();

const after = await readFile(`${file}.cursor`, "utf8").catch(() => undefined);
for await (const { message, cursor } of chat.events({ after })) {
  if (isText(message.content)) await chat.messages.reply(message, message.content.text);
  await writeFile(`${file}.cursor`, cursor);
}

async function enter() {
  await requestCode(url, phone);
  const code = await createInterface(process.stdin, process.stdout).question("The code that was sent: ");
  return signIn({ url, store, phone, code, deviceName: "Echo" });
}
