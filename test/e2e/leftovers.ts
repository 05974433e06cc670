/** What failed, cancelled and refused deploys could leave behind, on every machine that they touch. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { E2eLab } from "./e2e-lab.ts";

/** Containers, in any state, that a deploy made. */
export async function containersOf(lab: E2eLab, deployId: string): Promise<string[]> {
  const format = "{{.Names}} {{.Status}}";
  const found = await Promise.all(
    lab.lab.hosts.map(async ({ name }) =>
      (
        await lab.docker(
          name,
          "ps",
          "--all",
          "--filter",
          `label=berth.deploy=${deployId}`,
          "--format",
          format,
        )
      )
        .split("\n")
        .filter(Boolean)
        .map((line) => `${name}: ${line}`),
    ),
  );
  return found.flat();
}

/** Of the whole pod, while nothing is being built or deployed. Empty when nothing was left behind. */
export async function leftovers(lab: E2eLab): Promise<string[]> {
  const found = [
    ...(await ofBuilds(lab)),
    ...(await ofPushes(lab)),
    ...(await ofJobs(lab)),
    ...(await ofRecords(lab)),
  ];
  return found.sort();
}

/** The image of a build that succeeded stays for a while: on one machine the same engine runs it. */
async function ofBuilds({ engine, stateDir, query }: E2eLab): Promise<string[]> {
  const lines = async (...args: string[]) => (await engine.docker(...args)).split("\n").filter(Boolean);
  const containers = await lines("ps", "--all", "--format", "build container {{.Names}} {{.Image}}");
  const images = await lines("images", "--format", "build image {{.Repository}}:{{.Tag}}");
  const built = await query<{ id: string }>("select id from builder.builds where state = 'succeeded'");
  const isWanted = (image: string): boolean =>
    image.startsWith("build image berth/stack") || built.some(({ id }) => image.endsWith(`:${id}`));
  const work = await readdir(join(stateDir, "services/builder/work"));
  return [
    ...containers,
    ...images.filter((image) => !isWanted(image)),
    ...work.map((name) => `build folder ${name}`),
  ];
}

/** Packs in quarantine, half-written packs and bundles. */
async function ofPushes({ stateDir }: E2eLab): Promise<string[]> {
  const git = await readdir(join(stateDir, "services/git"), { recursive: true });
  const objects = await readdir(join(stateDir, "objects"), { recursive: true });
  const temporary = /(incoming-|quarantine|tmp_|\.tmp|\.part|\.lock)/;
  const standing = ".parts"; // the object store's own folder for what is being written
  return [...git, ...objects]
    .filter((path) => path !== standing && temporary.test(path))
    .map((path) => `file ${path}`);
}

/** A host holds the containers and secrets of the jobs that the record places there, and nothing else. */
async function ofJobs(lab: E2eLab): Promise<string[]> {
  const jobs = await lab.query<{ id: string; host: string }>(
    `select j.id, h.name as host from scheduler.jobs j join api.hosts h on h.id = j.host_id
     where j.state not in ('finished', 'failed', 'lost')`,
  );
  const found: string[] = [];
  for (const { name } of lab.lab.hosts) {
    const wanted = new Set(jobs.filter(({ host }) => host === name).map(({ id }) => id));
    const format = '{{.Label "berth.job"}}';
    const present = (await lab.docker(name, "ps", "--all", "--format", format)).split("\n").filter(Boolean);
    const secrets = await secretsOn(lab, name);
    found.push(
      ...present.filter((id) => !wanted.has(id)).map((id) => `container of ${id} on ${name}`),
      ...secrets.filter((id) => !wanted.has(id)).map((id) => `secrets of ${id} on ${name}`),
    );
  }
  return found;
}

async function secretsOn(lab: E2eLab, host: string): Promise<string[]> {
  const { stdout } = await lab.lab
    .host(host)
    .exec(["sh", "-c", "awk '$1 == \"berth-secrets\" { print $2 }' /proc/self/mounts | xargs -r ls"]);
  return stdout.split("\n").filter((line) => line.startsWith("job_"));
}

async function ofRecords(lab: E2eLab): Promise<string[]> {
  const open = await lab.query<{ what: string }>(`
    select 'deploy ' || id || ' ' || state as what from scheduler.deploys where finished_at is null
    union all select 'build ' || id || ' ' || state from builder.builds where finished_at is null
    union all select 'job ' || id || ' ' || state from scheduler.jobs
      where desired = 'stop' and state not in ('finished', 'failed')`);
  return open.map(({ what }) => what);
}
