/**
 * Runs inside of a host's network namespace: sends one handshake with a clock that is given, and prints whether it was
 * answered. Standard input is one JSON order; private keys are no arguments.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { z } from "zod";
import { handshakeInitiation } from "./handshake.ts";

const answerMs = 1500;
const responseType = 2;

const Order = z.object({
  own: z.object({ privateKey: z.string(), publicKey: z.string() }),
  peerPublicKey: z.string(),
  clockMs: z.number(),
  to: z.string(),
  port: z.number(),
});

const { to, port, ...initiation } = Order.parse(JSON.parse(await text(process.stdin)));
const socket = createSocket("udp4");
const answered = new Promise<boolean>((resolve) => {
  socket.on("message", (message) => resolve(message[0] === responseType));
  setTimeout(() => resolve(false), answerMs);
});
socket.bind(0);
await once(socket, "listening");
socket.send(handshakeInitiation(initiation), port, to);
process.stdout.write(`${JSON.stringify(await answered)}\n`);
socket.close();
process.exitCode = 0;
