import type { Hono } from "hono";
import * as api from "../../../shared/api/archives.ts";
import type { GatewayTypes } from "../context.ts";
import { serve } from "../serve.ts";
import * as archives from "./archives.ts";
import * as backup from "./backup.ts";

export function mountArchives(gateway: Hono<GatewayTypes>): void {
  serve(gateway, api.beginArchive, archives.beginArchive);
  serve(gateway, api.putArchiveChunk, archives.putArchiveChunk);
  serve(gateway, api.getArchiveChunk, archives.getArchiveChunk);
  serve(gateway, api.listArchiveChunks, archives.listArchiveChunks);
  serve(gateway, api.putArchiveManifest, archives.putArchiveManifest);
  serve(gateway, api.getArchiveManifest, archives.getArchiveManifest);
  serve(gateway, api.removeArchive, archives.removeArchive);
  serve(gateway, api.setBackup, backup.setBackup);
  serve(gateway, api.viewBackup, backup.viewBackup);
  serve(gateway, api.removeBackup, backup.removeBackup);
}
