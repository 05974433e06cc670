/** What a handler is given and must answer, per route. */
import type { Actor } from "../../outbound/audited.ts";
import type {
  BuildReach,
  Caller,
  DeployReach,
  EnvironmentReach,
  OrgReach,
  ServiceReach,
} from "../../outbound/reach-store.ts";
import type { EventStream } from "./event-stream.ts";
import type {
  AUTHORIZATION,
  Body,
  EventRouteName,
  JsonRouteName,
  Params,
  Query,
  Reply,
  RouteName,
  SocketRouteName,
} from "./routes.ts";
import type { ServedSocket } from "./serve-sockets.ts";

interface ObjectByReach {
  anyone: null;
  self: null;
  pod: null;
  org: OrgReach;
  environment: EnvironmentReach;
  service: ServiceReach;
  deploy: DeployReach;
  build: BuildReach;
}

type ReachOf<N extends RouteName> = (typeof AUTHORIZATION)[N];

export interface Asked<N extends RouteName> {
  /** Who asks; on `anyone` routes nobody is known. */
  readonly caller: ReachOf<N> extends "anyone" ? null : Caller;
  /** What the path names, found inside the caller's orgs. */
  readonly object: ObjectByReach[ReachOf<N>];
  readonly params: Params<N>;
  readonly query: Query<N>;
  readonly body: Body<N>;
  /** For the audit row. */
  readonly actor: Actor;
}

export type Handler<N extends JsonRouteName> = (asked: Asked<N>) => Promise<Reply<N>>;

/** `open` sends the response's head: before it an error is an HTTP error, after it the stream just ends. */
export type EventHandler<N extends EventRouteName> = (
  asked: Asked<N>,
  open: () => EventStream<Reply<N>>,
) => Promise<void>;

/** Ends the socket itself; what it throws before is told to the other end as an error of the catalogue. */
export type SocketHandler<N extends SocketRouteName> = (
  asked: Asked<N>,
  socket: ServedSocket<Reply<N>>,
) => Promise<void>;

export type Handlers = { readonly [N in JsonRouteName]: Handler<N> } & {
  readonly [N in EventRouteName]: EventHandler<N>;
} & {
  readonly [N in SocketRouteName]: SocketHandler<N>;
};
