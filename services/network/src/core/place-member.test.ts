import type { EnvironmentId, HostId } from "@berth/shared/domain/ids.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { expect, test } from "vitest";
import { type Held, type Joining, type Pools, placeMember } from "./place-member.ts";

const pools: Pools = {
  ...{ podCidr: "10.128.0.0/18", hostCidr: "10.127.0.0/16", environmentBits: 19, sliceBits: 21 },
  ...{ firstPort: 21_000, portsCount: 3 },
};
const hostId = newId("host") as HostId;
const joining: Joining = {
  ...{ hostId, environmentId: newId("environment") as EnvironmentId },
  ...{ publicKey: "key", keyGeneration: 0, busyPorts: [] },
};
const none: Held = {
  ...{ host: true, environment: true, wanted: true },
  ...{ subnet: null, subnets: [], slices: [], ports: [] },
};
const other = (slice: string, port = 21_000) => ({ hostId: newId("host"), slice, port });

test("the first member of the first environment has the lowest of all", () => {
  expect(placeMember(joining, none, pools)).toEqual({
    ...{ subnet: "10.128.0.0/19", slice: "10.128.0.0/21", port: 21_000 },
  });
});

test("what others have, what is busy and what belongs to people's machines is passed by", () => {
  const held = {
    ...{ ...none, subnets: ["10.128.0.0/19"], ports: [21_000] },
    ...{ slices: [other("10.128.32.0/21"), other("10.128.48.0/21")] },
  };
  expect(placeMember({ ...joining, busyPorts: [21_001] }, held, pools)).toEqual({
    ...{ subnet: "10.128.32.0/19", slice: "10.128.40.0/21", port: 21_002 },
  });
  // The last slice of a subnet is never a host's.
  expect(placeMember(joining, { ...held, slices: [...held.slices, other("10.128.40.0/21")] }, pools)).toMatch(
    /slices of the environment's subnet 10\.128\.32\.0\/19/,
  );
});

test("who was a member has what it had, but for a port that is busy now", () => {
  const own = { hostId, slice: "10.128.8.0/21", port: 21_001 };
  const held = { ...none, subnet: "10.128.0.0/19", subnets: ["10.128.0.0/19"], slices: [own] };
  expect(placeMember(joining, held, pools)).toEqual({
    ...{ subnet: "10.128.0.0/19", slice: own.slice, port: own.port },
  });
  expect(placeMember({ ...joining, busyPorts: [own.port] }, held, pools)).toMatchObject({ port: 21_000 });
});

test.each([
  [{ host: false }, /not one of the pod/],
  [{ environment: false }, /environment was removed/],
  [{ wanted: false }, /no job of the environment/],
  [{ subnets: ["10.128.0.0/19", "10.128.32.0/19"] }, /all subnets of 10\.128\.0\.0\/18/],
  [{ ports: [21_000, 21_001, 21_002] }, /no UDP port is free between 21000 and 21002/],
] satisfies [Partial<Held>, RegExp][])("%j is refused", (held, reason) => {
  expect(placeMember(joining, { ...none, ...held }, pools)).toMatch(reason);
});
