import { WebSocket } from "ws";
import type { MessageEvent, Seat } from "./adapter.ts";

/** Resolves when the seat's socket may be used. What goes wrong on it after that ends the process. */
export function openSocket(seat: Seat, onEvent: (event: MessageEvent) => void): Promise<WebSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<WebSocket>();
  const socket = new WebSocket(seat.url, seat.protocols ?? [], {
    headers: seat.headers ?? {},
    perMessageDeflate: false,
    skipUTF8Validation: true,
    // Leaves the mask at zero, which spares the masking: it protects proxies, and there is none.
    generateMask() {},
  });
  socket.on("error", reject);
  socket.on("close", (code, reason) => {
    throw new Error(`${seat.url} was closed: ${code} ${reason}`);
  });
  socket.on("open", () => {
    if (seat.greeting === undefined) resolve(socket);
    else socket.send(seat.greeting);
  });
  socket.on("message", (data: Buffer, isBinary) => {
    const { events, answers = [] } = seat.read(isBinary ? data : data.toString());
    for (const answer of answers) socket.send(answer);
    for (const event of events) {
      if (event.kind === "ready") resolve(socket);
      else onEvent(event);
    }
  });
  return promise;
}

/** The one way in which a socket may close. */
export function closeSocket(socket: WebSocket): void {
  socket.removeAllListeners("close");
  socket.terminate();
}
