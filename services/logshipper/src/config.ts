/** Every key of the log shipper's configuration. */
import { BusConfig } from "@berth/shared/kit/bus-config.ts";
import { key } from "@berth/shared/kit/config.ts";
import { z } from "zod";

const path = z.string().startsWith("/", "must be an absolute path");

export const LogshipperConfig = {
  natsUrl: BusConfig.natsUrl,
  natsCredsFile: BusConfig.natsCredsFile,
  natsCaFile: BusConfig.natsCaFile,
  hostDir: key("BERTH_HOST_DIR", path, { why: "host.json, and logs/ for what is kept" }),
  dockerSocket: key("BERTH_DOCKER_SOCKET", path, {
    default: "/var/run/docker.sock",
    why: "the host's Docker Engine",
  }),
} as const;
