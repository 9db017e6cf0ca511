import { describe, expect, it } from "vitest";
import type { Identity } from "./pins.ts";
import { checkSafetyCode, fingerprint, safetyNumber, writeSafetyCode } from "./safety-number.ts";

const hex = (text: string) => new Uint8Array(Buffer.from(text, "hex"));
const bytes = (text: string) => new TextEncoder().encode(text);
const flip = ({ user, accountKey }: Identity, at: number): Identity => ({
  user,
  accountKey: accountKey.map((byte, index) => (index === at ? byte ^ 1 : byte)),
});

const alice: Identity = {
  user: "01ARZ3NDEKTSV4RRFFQ69G5FAA",
  accountKey: hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"),
};
const bob: Identity = {
  user: "01ARZ3NDEKTSV4RRFFQ69G5FAB",
  accountKey: hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"),
};
const carol: Identity = { ...bob, user: "01ARZ3NDEKTSV4RRFFQ69G5FAC" };

describe("a safety number", () => {
  /** From the tests of Signal's own NumericFingerprintGenerator. */
  it("is computed as Signal's is", async () => {
    const keys = [
      hex("0506863bc66d02b40d27b8d49ca7c09e9239236f9d7d25d6fcca5ce13c7064d868"),
      hex("05f781b6fb32fed9ba1cf2de978d4d5da28dc34046ae814402b5c0dbd96fda907b"),
    ] as const;
    const sides = [
      await fingerprint(keys[0], bytes("+14152222222")),
      await fingerprint(keys[1], bytes("+14153333333")),
    ];
    const digits = sides.sort().join("").replaceAll(" ", "");
    expect(digits).toBe("300354477692869396892869876765458257569162576843440918079131");
  });

  it("is the same for both, in twelve groups of five digits, in every version", async () => {
    const number = await safetyNumber(alice, bob);
    expect(await safetyNumber(bob, alice)).toBe(number);
    expect(number).toMatch(/^\d{5}( \d{5}){11}$/);
    expect(number).toBe("17453 32967 63470 39755 75696 01953 58422 84470 15083 94180 90986 51297");
  });

  it("changes its half with that side's key, and with the person", async () => {
    const halves = new Set<string>();
    for (const { user, accountKey } of [bob, carol, flip(bob, 0), flip(bob, 31)]) {
      halves.add(await fingerprint(accountKey, bytes(user)));
    }
    expect(halves.size).toBe(4);
    const [first, second] = [await fingerprint(alice.accountKey, bytes(alice.user)), [...halves][0]];
    expect(await safetyNumber(alice, bob)).toBe([first, second].sort().join(" "));
  });
});

describe("a safety code", () => {
  it("matches on both devices if they have the same two keys", () => {
    expect(checkSafetyCode(writeSafetyCode(bob, alice), alice, bob)).toBe("match");
    expect(checkSafetyCode(writeSafetyCode(alice, bob), bob, alice)).toBe("match");
  });

  it("mismatches if either key is another in any byte", () => {
    for (let at = 0; at < 32; at++) {
      expect(checkSafetyCode(writeSafetyCode(flip(bob, at), alice), alice, bob)).toBe("mismatch");
      expect(checkSafetyCode(writeSafetyCode(bob, flip(alice, at)), alice, bob)).toBe("mismatch");
    }
    const cut = { ...bob, accountKey: bob.accountKey.subarray(0, 31) };
    expect(checkSafetyCode(writeSafetyCode(cut, alice), alice, bob)).toBe("mismatch");
  });

  it("of other people is said to be that, and so is one's own", () => {
    expect(checkSafetyCode(writeSafetyCode(carol, alice), alice, bob)).toBe("other_people");
    expect(checkSafetyCode(writeSafetyCode(bob, carol), alice, bob)).toBe("other_people");
    expect(checkSafetyCode(writeSafetyCode(alice, bob), alice, bob)).toBe("other_people");
  });

  it("has one text, which does not change", () => {
    expect(writeSafetyCode(alice, bob)).toBe(
      `sandpiper:safety?from=${alice.user}&key=11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo` +
        `&to=${bob.user}&key=PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw`,
    );
  });

  it.each([
    "",
    "https://example.org/",
    "sandpiper:safety?",
    `sandpiper:safety?from=${bob.user}&key=*&to=${alice.user}&key=AAAA`,
    `sandpiper:safety?from=bob&key=AAAA&to=${alice.user}&key=AAAA`,
    `${writeSafetyCode(bob, alice)}&more=1`,
  ])("is not: %s", (text) => {
    expect(() => checkSafetyCode(text, alice, bob)).toThrow("code_malformed");
  });
});
