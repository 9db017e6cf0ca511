import type { LocalContent } from "../content/local.ts";
import type { Content } from "../content.ts";

/** The words by which a message is found; undefined if it has none, or is to be seen once. */
export function searchableText(content: Content | LocalContent): string | undefined {
  if ("viewOnce" in content && content.viewOnce) return undefined;
  return (
    partsOf(content)
      .filter((part) => part !== undefined && part !== "")
      .join("\n") || undefined
  );
}

function partsOf(content: Content | LocalContent): (string | undefined)[] {
  switch (content.kind) {
    case "text":
      return [content.text, content.preview?.title];
    case "image":
    case "video":
      return [content.text];
    case "document":
      return [content.file.name, content.text];
    case "location":
      return [content.name, content.address];
    case "contact":
      return [content.name, ...content.phones];
    case "poll":
      return [content.question, ...content.options];
    default:
      return [];
  }
}
