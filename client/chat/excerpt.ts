import { MAX_EXCERPT_CHARS } from "../../shared/limits.ts";
import type { ShownContent } from "./message.ts";

/** What a reply quotes: the first words of the message, if it has any. */
export function excerptOf(content: ShownContent): string {
  return cut(wordsOf(content));
}

function wordsOf(content: ShownContent): string {
  if ("viewOnce" in content && content.viewOnce) return "";
  switch (content.kind) {
    case "text":
      return content.text;
    case "image":
    case "video":
      return content.text ?? "";
    case "document":
      return content.text || content.file.name;
    case "location":
    case "contact":
      return content.name ?? "";
    case "poll":
      return content.question;
    default:
      return "";
  }
}

/** No character of two halves is cut in two. */
function cut(text: string): string {
  const excerpt = text.slice(0, MAX_EXCERPT_CHARS);
  return /[\uD800-\uDBFF]$/.test(excerpt) ? excerpt.slice(0, -1) : excerpt;
}
