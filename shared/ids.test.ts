import * as v from "valibot";
import { describe, expect, it } from "vitest";
import {
  ConversationId,
  Cursor,
  directConversation,
  directMembers,
  directPeer,
  isForeign,
  messageTime,
  Seq,
  UserId,
} from "./ids.ts";

const a = "01ARZ3NDEKTSV4RRFFQ69G5FAA";
const b = "01ARZ3NDEKTSV4RRFFQ69G5FAB";
const c = "01ARZ3NDEKTSV4RRFFQ69G5FAC";
const group = "01ARZ3NDEKTSV4RRFFQ69G5FAG";

describe("a 1:1 conversation's id", () => {
  it("is the same whoever writes first", () => {
    expect(directConversation(a, b)).toBe(`${a}.${b}`);
    expect(directConversation(b, a)).toBe(`${a}.${b}`);
  });

  it("names its members, once each", () => {
    expect(directMembers(directConversation(a, b))).toEqual([a, b]);
    expect(directMembers(directConversation(a, a))).toEqual([a]);
    expect(directMembers(group)).toEqual([]);
  });

  it("names the other person, and nobody where there is none", () => {
    expect(directPeer(directConversation(a, b), a)).toBe(b);
    expect(directPeer(directConversation(a, b), b)).toBe(a);
    expect(directPeer(directConversation(a, a), a)).toBeUndefined();
    expect(directPeer(group, a)).toBeUndefined();
  });

  it("R6 shows who has no part in it; a group's id shows nothing", () => {
    expect(isForeign(directConversation(a, b), c)).toBe(true);
    expect(isForeign(directConversation(a, a), b)).toBe(true);
    expect(isForeign(directConversation(a, b), a)).toBe(false);
    expect(isForeign(directConversation(a, b), b)).toBe(false);
    expect(isForeign(group, a)).toBe(false);
  });
});

describe("on the wire", () => {
  it.each([a, "7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "00000000000000000000000000"])("takes the ULID %s", (id) => {
    expect(v.is(UserId, id)).toBe(true);
    expect(v.is(ConversationId, id)).toBe(true);
  });

  it.each([
    ["lower case", a.toLowerCase()],
    ["more than 128 bits", `8${a.slice(1)}`],
    ["the letter I", `${a.slice(1)}I`],
    ["the letter U", `${a.slice(1)}U`],
    ["too short", a.slice(1)],
    ["too long", `${a}0`],
    ["a line break behind", `${a}\n`],
    ["a blank before", ` ${a}`],
    ["nothing", ""],
    ["the replacement character", `${a.slice(1)}\ufffd`],
    ["a number", 1],
    ["null", null],
  ])("refuses %s as an id", (_, id) => {
    expect(v.is(UserId, id)).toBe(false);
    expect(v.is(ConversationId, id)).toBe(false);
  });

  it.each([
    ["the larger id first", `${b}.${a}`],
    ["three members", `${a}.${b}.${c}`],
    ["half a pair", `${a}.`],
    ["the other half", `.${a}`],
    ["another separator", `${a}:${b}`],
    ["a line break between", `${a}.\n${b}`],
  ])("refuses %s as a conversation: each has one name only", (_, id) => {
    expect(v.is(ConversationId, id)).toBe(false);
  });

  it("takes one's conversation with oneself", () => {
    expect(v.is(ConversationId, `${a}.${a}`)).toBe(true);
  });

  it("counts places from 1 and positions from 0, in integers that a double holds", () => {
    for (const refused of [-1, 0.5, Number.NaN, Infinity, 2 ** 53, "1", null, true]) {
      expect(v.is(Seq, refused)).toBe(false);
      expect(v.is(Cursor, refused)).toBe(false);
    }
    expect([v.is(Seq, 0), v.is(Cursor, 0)]).toEqual([false, true]);
    expect([v.is(Seq, 2 ** 53 - 1), v.is(Cursor, 2 ** 53 - 1)]).toEqual([true, true]);
  });

  it("carries the time at which a message was made", () => {
    expect(messageTime("01ARZ3NDEKTSV4RRFFQ69G5FAV")).toBe(1_469_922_850_259);
    expect(messageTime("00000000000000000000000000")).toBe(0);
    expect(messageTime("7ZZZZZZZZZZZZZZZZZZZZZZZZZ")).toBe(2 ** 48 - 1);
  });
});
