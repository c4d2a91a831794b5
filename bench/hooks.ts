/**
 * What hooks cost, over ttrpc and over gRPC, beside the bare minimum that does the same: grpc-js by itself against the same
 * plugin, and a Python that only imports grpc.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { create } from "@bufbuild/protobuf"
import * as grpc from "@grpc/grpc-js"
import { NodeHttpServer, NodeServices } from "@effect/platform-node"
import { Effect, Layer, Option } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { PluginBundles } from "../src/bundle/PluginBundle.ts"
import { MessageWillBePostedRequestSchema } from "../src/generated/mattermost/pluginapi/v1/hooks_message_pb.js"
import { PostSchema } from "../src/generated/mattermost/pluginapi/v1/post_pb.js"
import { PluginHooks } from "../src/generated/mattermost/pluginapi/v1/plugin_hooks_pb.js"
import { deserializer, serializer } from "../src/grpc/GrpcMethod.ts"
import { testClient } from "../src/hooks/Hooks.ts"
import { MattermostContract } from "../src/mattermost/MattermostContract.ts"
import { MattermostPlugins } from "../src/mattermost/MattermostPlugins.ts"
import * as PluginRoutes from "../src/http/PluginRoutes.ts"
import { path } from "../src/rpc/RpcMethod.ts"
import { copyPlugin } from "./copyPlugin.ts"
import { compare, report } from "./measure.ts"
import { environment, importGrpc } from "./python.ts"

const SEQUENTIAL = 300
const IN_FLIGHT = 64
const CONCURRENT = 1500
const SMALL_REQUESTS = 100
const LARGE = 100 * 1024 * 1024

const perSecond = (count: number) => (millis: number) => `${Math.round((count / millis) * 1000)}/s`
const millis = (value: number) => `${value.toFixed(0)} ms`
const throughput = (value: number) => `${(LARGE / 1024 / 1024 / (value / 1000)).toFixed(0)} MiB/s`

const api = MattermostPlugins.layerApi({
  getServerVersion: () => Effect.succeed({ version: "1.0.0" }),
  kVGet: () => Effect.succeed({ value: new Uint8Array() }),
})

const plugins = mkdtempSync(join(tmpdir(), "bench-"))
process.on("exit", () => rmSync(plugins, { recursive: true, force: true }))
copyPlugin("examples/hello-python", join(plugins, "hello-python"))

const live = HttpRouter.serve(
  PluginRoutes.layer(MattermostPlugins, () => Effect.succeed(Option.none())),
  {
    disableLogger: true,
    disableListenLog: true,
  },
).pipe(
  Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0, gracefulShutdownTimeout: 500 })),
  Layer.provideMerge(MattermostPlugins.layerFolder({ directory: plugins })),
  Layer.provide(api),
  Layer.provide(environment),
  Layer.provideMerge(NodeServices.layer),
)

const request = create(MessageWillBePostedRequestSchema, { post: create(PostSchema, { message: "hello" }) })

const times = (count: number, concurrency: number, call: Effect.Effect<unknown, unknown>) =>
  Effect.forEach(Array.from({ length: count }), () => call, { concurrency, discard: true })

const program = Effect.gen(function* () {
  const { find, settled } = yield* MattermostPlugins.Environment
  yield* settled
  const plugin = Option.getOrThrow(yield* find("hello-python"))
  const { bundle, client: hookClient, hooks } = Option.getOrThrow(yield* plugin.run)

  const supervisor = yield* MattermostPlugins.Supervisor
  // The same plugin by another name, which speaks gRPC.
  const reference = yield* supervisor.start(
    { ...bundle, manifest: { ...bundle.manifest, id: "reference" } },
    { transport: "grpc" },
  )

  const method = PluginHooks.method.messageWillBePosted
  const client = new grpc.Client(reference.client.client.target, grpc.credentials.createInsecure(), {
    "grpc.max_receive_message_length": -1,
    "grpc.use_local_subchannel_pool": 1,
  })
  const [serialize, deserialize] = [serializer(method.input), deserializer(method.output)]
  const bareCall = () =>
    new Promise((resolve, reject) => {
      client.makeUnaryRequest(path(method), serialize, deserialize, request, (error, response) =>
        error === null ? resolve(response) : reject(error),
      )
    })
  const bareInFlight = async () => {
    let left = CONCURRENT
    const worker = async () => {
      while (left-- > 0) await bareCall()
    }
    await Promise.all(Array.from({ length: IN_FLIGHT }, worker))
  }
  const bareSequential = async () => {
    for (let index = 0; index < SEQUENTIAL; index++) await bareCall()
  }
  const ourCall = hooks.messageWillBePosted(request)
  const ourGrpcCall = reference.hooks.messageWillBePosted(request)

  const serve = PluginHooks.method.serveHTTP
  const [serializeHttp, deserializeHttp] = [serializer(serve.input), deserializer(serve.output)]
  const bareHttp = (url: string) =>
    new Promise<number>((resolve, reject) => {
      const call = client.makeBidiStreamRequest(path(serve), serializeHttp, deserializeHttp)
      let bytes = 0
      call.on("data", (message) => (bytes += message.bodyChunk.length))
      call.on("end", () => resolve(bytes))
      call.on("error", reject)
      call.write({ init: { method: "GET", url }, bodyComplete: true })
      call.end()
    })
  const { address } = yield* HttpServer.HttpServer
  const base = `http://127.0.0.1:${"port" in address ? address.port : 0}/plugins/hello-python`
  const ourHttp = async (url: string) => {
    const response = await fetch(base + url)
    let bytes = 0
    for await (const chunk of response.body!) bytes += chunk.length
    return bytes
  }
  const repeat = async (count: number, call: () => Promise<unknown>) => {
    for (let index = 0; index < count; index++) await call()
  }

  const startToActive = Effect.scoped(
    Effect.flatMap(PluginBundles, (bundles) => bundles.load(bundle.directory)).pipe(
      Effect.flatMap((bundle) => supervisor.start(bundle)),
    ),
  )

  // Two of fifty plugins implement the hook: both are hello-python under other names.
  const many = yield* Effect.gen(function* () {
    const { active } = yield* MattermostPlugins
    for (let index = 0; index < 50; index++) {
      const idle = testClient(MattermostContract, hookClient.client, `idle-${index}`, {
        userHasBeenCreated: () => Effect.succeed({}),
      })
      yield* active.register(index < 2 ? { ...hookClient, pluginId: `busy-${index}` } : idle)
    }
    return yield* MattermostPlugins
    // Not the host's own, in which hello-python is registered already.
  }).pipe(Effect.provide(Layer.fresh(MattermostPlugins.layer)))
  const dispatched = many.decide("messageWillBePosted", { post: create(PostSchema, { message: "hello" }) })

  const callRows = Effect.fnUntraced(function* (name: string, call: typeof ourCall) {
    const inTurn = times(SEQUENTIAL, 1, call)
    const inFlight = times(CONCURRENT, IN_FLIGHT, call)
    return [
      yield* compare(`${name}, one after the other`, inTurn, Effect.promise(bareSequential), perSecond(SEQUENTIAL)),
      yield* compare(`${name}, ${IN_FLIGHT} in flight`, inFlight, Effect.promise(bareInFlight), perSecond(CONCURRENT)),
    ]
  })
  const rows = [
    ...(yield* callRows("hook", ourCall)),
    ...(yield* callRows("hook over gRPC", ourGrpcCall)),
    yield* compare(
      "decide, 2 of 50 plugins (bare: ours, both called)",
      times(SEQUENTIAL, 1, dispatched),
      times(2 * SEQUENTIAL, 1, ourCall),
      perSecond(SEQUENTIAL),
    ),
    yield* compare(
      "ServeHTTP, small (bare: no HTTP)",
      Effect.promise(() => repeat(SMALL_REQUESTS, () => ourHttp("/hello"))),
      Effect.promise(() => repeat(SMALL_REQUESTS, () => bareHttp("/hello"))),
      perSecond(SMALL_REQUESTS),
    ),
    yield* compare(
      "ServeHTTP, 100 MiB (bare: no HTTP)",
      Effect.promise(() => ourHttp(`/large?bytes=${LARGE}`)),
      Effect.promise(() => bareHttp(`/large?bytes=${LARGE}`)),
      throughput,
    ),
    yield* compare('start to active and stopped (bare: python -c "import grpc")', startToActive, importGrpc, millis),
  ]
  client.close()
  return report(rows, "bare minimum")
})

/** The report on hooks. */
export const hooksReport = Effect.scoped(program).pipe(Effect.provide(live))
