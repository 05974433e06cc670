/**
 * Debian packages: what is missing is installed from the machine's own sources; single packages of another suite
 * are fetched from the same mirror and unpacked into a folder of ours, so the system stays on its release.
 */
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Progress, withHeartbeat } from "../progress.ts";
import { run } from "../run-command.ts";
import { type AptSource, findDebianMirror, parseDeb822, parseOneLine } from "./apt-sources.ts";
import { disableServicesOf, withoutAutostart } from "./no-autostart.ts";

const updateTimeoutMs = 180_000;
const installTimeoutMs = 600_000;
const queryTimeoutMs = 20_000;
const defaultKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
const quiet = { ...process.env, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C" };
/** Detached: an interrupted dpkg leaves the system in a state that its owner has to mend. */
const aptRun = { env: quiet, detached: true };
/** A mirror that is away is told within half a minute, not within several. */
const aptNetwork = [
  "-o",
  "Acquire::Retries=1",
  "-o",
  "Acquire::http::Timeout=15",
  "-o",
  "Acquire::https::Timeout=15",
];

/** Installs those of `packages` that are missing. @throws Error that says what to do when it cannot. */
export async function ensurePackages(packages: readonly string[], progress: Progress): Promise<void> {
  const missing = await missingPackages(packages);
  if (missing.length === 0) return;
  await assertDebianRoot(missing);
  progress(`installing Debian packages: ${missing.join(" ")}`);
  try {
    await withoutAutostart(() => install(missing, progress));
  } catch (cause) {
    const command = `apt-get update && apt-get install ${missing.join(" ")}`;
    throw new Error(
      `Debian packages could not be installed. See that the mirror in /etc/apt is reachable and that '${command}' works, then run this again.\n${String(cause)}`,
      { cause },
    );
  }
  await disableServicesOf(missing, progress);
}

async function install(missing: readonly string[], progress: Progress): Promise<void> {
  // An earlier apt that was cut in its middle; does nothing otherwise.
  await run(["dpkg", "--configure", "-a"], { ...aptRun, timeoutMs: installTimeoutMs });
  await updateLists([], progress);
  let stepsCount = 0;
  const onLine = (line: string): void => {
    if (/^Need to get/.test(line)) progress(`  ${line}`);
    if (/^(Get:|Unpacking |Setting up )/.test(line)) stepsCount += 1;
  };
  // Waits for another apt that holds the lock instead of failing at once.
  const options = [...aptNetwork, "-o", "DPkg::Lock::Timeout=120", "--no-install-recommends", "-y", "-q"];
  const what = (): string => `installing with apt-get, ${stepsCount} packages fetched, unpacked or set up`;
  await withHeartbeat(progress, what, () =>
    run(["apt-get", "install", ...options, ...missing], { ...aptRun, timeoutMs: installTimeoutMs, onLine }),
  );
  progress(`  ${missing.length} Debian packages and what they need are installed`);
}

/** apt calls a failed fetch a warning and ends with 0; the warnings are kept for when the next step fails. */
async function updateLists(options: readonly string[], progress: Progress): Promise<void> {
  const onLine = (line: string): void => {
    if (/^(W|E): /.test(line)) progress(`  ${line}`);
  };
  await withHeartbeat(progress, "fetching the package lists", () =>
    run(["apt-get", ...options, ...aptNetwork, "update", "-q"], {
      ...aptRun,
      timeoutMs: updateTimeoutMs,
      onLine,
    }),
  );
}

async function missingPackages(packages: readonly string[]): Promise<readonly string[]> {
  const missing: string[] = [];
  for (const name of packages) {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own format
    const status = await run(["dpkg-query", "-W", "-f", "${db:Status-Status}", name], {
      timeoutMs: queryTimeoutMs,
    }).catch(() => "");
    if (status !== "installed") missing.push(name);
  }
  return missing;
}

async function assertDebianRoot(missing: readonly string[]): Promise<void> {
  const release = await osRelease();
  if (release.get("ID") !== "debian" && release.get("ID_LIKE")?.includes("debian") !== true) {
    throw new Error(
      `this machine is ${release.get("PRETTY_NAME") ?? "not Debian"}. Berth installs what it needs on Debian 12 or later; here install by hand: ${missing.join(" ")}`,
    );
  }
  if (process.getuid?.() !== 0)
    throw new Error(
      `missing: ${missing.join(" ")}. Run this as root, or install them with: sudo apt-get install ${missing.join(" ")}`,
    );
}

async function osRelease(): Promise<ReadonlyMap<string, string>> {
  const text = await readFile("/etc/os-release", "utf8").catch(() => "");
  return new Map(
    text
      .split("\n")
      .map(
        (line) => [line.split("=")[0] ?? "", line.slice(line.indexOf("=") + 1).replaceAll('"', "")] as const,
      ),
  );
}

export type SuitePackage = {
  readonly name: string;
  /** A suite of Debian, such as `unstable`. */
  readonly suite: string;
  /** Where the package lists and the file are kept. */
  readonly cacheDir: string;
  readonly progress: Progress;
};

export type UnpackedPackage = { readonly version: string; readonly dir: string };

/**
 * Fetches one package of another suite and unpacks it into `targetDir(version)`. apt checks the signature with the
 * keyring that the machine's own Debian source names. Nothing of the system's apt state is touched.
 */
export async function unpackFromSuite(
  wanted: SuitePackage,
  targetDir: (version: string) => string,
): Promise<UnpackedPackage> {
  const { name, suite, cacheDir, progress } = wanted;
  await assertDebianRoot([name]);
  const mirrorUri = (await debianMirror()).uri;
  const options = await privateAptOptions(suite, cacheDir);
  progress(`fetching ${name} of Debian ${suite}`);
  await updateLists(options, progress);
  const downloads = join(cacheDir, "downloads");
  await rm(downloads, { recursive: true, force: true });
  await mkdir(downloads, { recursive: true, mode: 0o755 });
  const download = ["apt-get", ...options, ...aptNetwork, "download", name];
  await withHeartbeat(progress, `fetching ${name}`, () =>
    run(download, { ...aptRun, timeoutMs: updateTimeoutMs, cwd: downloads }),
  ).catch((cause: unknown) => {
    throw new Error(
      `${name} of Debian ${suite} could not be fetched from ${mirrorUri}. See that this mirror is reachable and has ${suite}, then run this again.\n${String(cause)}`,
      { cause },
    );
  });
  const file = (await readdir(downloads)).find(
    (entry) => entry.startsWith(`${name}_`) && entry.endsWith(".deb"),
  );
  if (file === undefined)
    throw new Error(`apt-get download ${name}: no package file came. Is ${name} in Debian ${suite}?`);
  const path = join(downloads, file);
  const version = (await run(["dpkg-deb", "-f", path, "Version"], { timeoutMs: queryTimeoutMs })).trim();
  const dir = targetDir(version);
  await rm(`${dir}.new`, { recursive: true, force: true });
  await mkdir(`${dir}.new`, { recursive: true });
  await run(["dpkg-deb", "-x", path, `${dir}.new`], { timeoutMs: queryTimeoutMs });
  await rm(dir, { recursive: true, force: true });
  await rename(`${dir}.new`, dir);
  await rm(downloads, { recursive: true, force: true });
  return { version, dir };
}

async function privateAptOptions(suite: string, cacheDir: string): Promise<readonly string[]> {
  const mirror = await debianMirror();
  const lists = join(cacheDir, "lists");
  const sourceList = join(cacheDir, `${suite}.list`);
  await mkdir(join(lists, "partial"), { recursive: true, mode: 0o755 });
  await mkdir(join(cacheDir, "archives", "partial"), { recursive: true, mode: 0o755 });
  await writeFile(
    sourceList,
    `deb [signed-by=${mirror.signedBy ?? defaultKeyring}] ${mirror.uri} ${suite} main\n`,
  );
  const settings = {
    "Dir::Etc::SourceList": sourceList,
    "Dir::Etc::SourceParts": "/dev/null",
    "Dir::Etc::Preferences": "/dev/null",
    "Dir::Etc::PreferencesParts": "/dev/null",
    "Dir::State::Lists": lists,
    "Dir::Cache": cacheDir,
    "APT::Default-Release": suite,
    "Acquire::Languages": "none",
    // The release file of unstable is often past its date on mirrors; its signature is still checked.
    "Acquire::Check-Valid-Until": "false",
  };
  return Object.entries(settings).flatMap(([key, value]) => ["-o", `${key}=${value}`]);
}

/** The machine's own Debian mirror. @throws Error when its apt sources name none. */
export async function debianMirror(): Promise<AptSource> {
  const sources: AptSource[] = [];
  const parts = await readdir("/etc/apt/sources.list.d").catch(() => []);
  for (const path of ["/etc/apt/sources.list", ...parts.map((part) => `/etc/apt/sources.list.d/${part}`)]) {
    const text = await readFile(path, "utf8").catch(() => "");
    if (path.endsWith(".sources")) sources.push(...parseDeb822(text));
    if (path.endsWith(".list")) sources.push(...parseOneLine(text));
  }
  const mirror = findDebianMirror(sources, (await osRelease()).get("VERSION_CODENAME") ?? "stable");
  if (mirror === null)
    throw new Error(
      "no Debian mirror found in /etc/apt/sources.list and /etc/apt/sources.list.d. Add one, then run this again.",
    );
  return mirror;
}
