/**
 * The peer: Docker Swarm over the same engines, the first host its manager. The service has a network over all hosts
 * and answers by name (`--endpoint-mode dnsrr`), since kernels without IPVS cannot do the other mode; it publishes no
 * port. A host reaches a replica by its address on the gateway bridge.
 */
import { z } from "zod";
import { type Arm, limits, type Site } from "./arm.ts";
import { EngineAnswer, unlessAbsent } from "./engine.ts";

const service = "bench-scale";
const overlay = "bench-scale-swarm";
/** Room for all replicas in one network; no part of the lab's or the pod's ranges. */
const overlayCidr = "10.201.0.0/20";
const swarmPort = 2377;

const swarm = z.object({ JoinTokens: z.object({ Worker: z.string() }) });
const made = z.object({ Id: z.string().optional(), ID: z.string().optional() });
const shown = z.object({ Version: z.object({ Index: z.number() }), Spec: z.record(z.string(), z.unknown()) });

export async function swarmArm(sites: readonly Site[], image: string): Promise<Arm> {
  const [manager, ...workers] = sites;
  if (manager === undefined) throw new Error("a swarm needs a host");
  const { engine } = manager;
  const arm: Arm = {
    name: "Swarm",
    network: "docker_gwbridge",
    scale: async (replicas) => {
      const { Version, Spec } = await engine.ask(shown, "GET", `/services/${service}`);
      const spec = { ...Spec, Mode: { Replicated: { Replicas: replicas } } };
      await engine.tell("POST", `/services/${service}/update?version=${Version.Index}`, spec);
    },
    close: () => leave(sites, engine),
  };
  try {
    await engine.tell("POST", "/swarm/init", {
      ...{ ListenAddr: `0.0.0.0:${swarmPort}`, AdvertiseAddr: manager.address },
    });
    const { JoinTokens } = await engine.ask(swarm, "GET", "/swarm");
    for (const worker of workers)
      await worker.engine.tell("POST", "/swarm/join", {
        ...{ ListenAddr: `0.0.0.0:${swarmPort}`, AdvertiseAddr: worker.address },
        ...{ RemoteAddrs: [`${manager.address}:${swarmPort}`], JoinToken: JoinTokens.Worker },
      });
    const network = await engine.ask(made, "POST", "/networks/create", {
      ...{ Name: overlay, Driver: "overlay", CheckDuplicate: true },
      IPAM: { Driver: "default", Config: [{ Subnet: overlayCidr }] },
    });
    await engine.tell("POST", "/services/create", {
      Name: service,
      TaskTemplate: {
        ContainerSpec: { Image: image },
        Resources: {
          Limits: { MemoryBytes: limits.memoryBytes, NanoCPUs: limits.cpuMillis * 1_000_000 },
        },
        Networks: [{ Target: network.Id ?? network.ID }],
      },
      Mode: { Replicated: { Replicas: 1 } },
      EndpointSpec: { Mode: "dnsrr" },
    });
  } catch (error) {
    await arm.close();
    throw error;
  }
  return arm;
}

/** The service first, so that no task outlives its swarm; who is in no swarm has nothing to leave. */
async function leave(sites: readonly Site[], manager: Site["engine"]): Promise<void> {
  await unlessNoSwarm(unlessAbsent(manager.tell("DELETE", `/services/${service}`)));
  for (const { engine } of sites.toReversed())
    await unlessNoSwarm(engine.tell("POST", "/swarm/leave?force=true"));
}

async function unlessNoSwarm(told: Promise<void>): Promise<void> {
  try {
    await told;
  } catch (error) {
    if (!(error instanceof EngineAnswer) || error.status !== 503) throw error;
  }
}
