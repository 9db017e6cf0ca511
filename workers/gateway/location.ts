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
