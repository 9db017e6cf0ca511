import { MAX_PLACE_CHARS } from "../../shared/limits.ts";

/** Where an object is best created: near whoever first asks for it. Objects do not move later. */
const hints: Partial<Record<ContinentCode, DurableObjectLocationHint>> = {
  AF: "afr",
  AS: "apac",
  EU: "weur",
  NA: "enam",
  OC: "oc",
  SA: "sam",
};

export function locationHintOf(request: Request): { locationHint?: DurableObjectLocationHint } {
  const continent = request.cf?.continent as ContinentCode | undefined;
  const locationHint = continent && hints[continent];
  return locationHint ? { locationHint } : {};
}

/** Where a device is, for its owner: city and country as the network tells, nothing where it does not. */
export function placeOf(request: Request): { place?: string } {
  const { city, country } = (request.cf ?? {}) as { city?: string; country?: string };
  const place = [city, country].filter((part) => typeof part === "string" && part !== "").join(", ");
  return place ? { place: place.slice(0, MAX_PLACE_CHARS) } : {};
}
