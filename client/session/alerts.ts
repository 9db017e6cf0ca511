import type { Alert } from "../../shared/protocol/down.ts";
import type { Turn } from "./turn.ts";

/** The app is told once, the server that it was every time: what it heard of that may have been lost. */
export function receiveAlert(turn: Turn, alert: Alert): void {
  if (alert.alert > turn.state.lastAlert) {
    turn.update({ lastAlert: alert.alert });
    turn.emit(alert);
  }
  turn.transmit({ type: "noted", alert: alert.alert });
}
