import { dirname, resolve } from "node:path"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Config, Duration, Effect, FileSystem, Option, Redacted, Schema, Stream } from "effect"
import { CliError, Flag, Primitive } from "effect/cli"
import { Sse } from "effect/encoding"
import { HttpClient, type HttpClientError, HttpClientRequest, type HttpClientResponse } from "effect/http"
import { problemsOf } from "../bundle/Problem.ts"
import { VARIABLES } from "../command/Variables.ts"
import { CommandError, EXIT, failed } from "./CommandError.ts"
import * as Output from "./Output.ts"
import { wrongFlag } from "./wrongFlag.ts"

const DEFAULT_URL = "http://127.0.0.1:8065"

/** How long an answer may take that waits for nothing. */
const ANSWER_LIMIT = Duration.seconds(30)

/** How long a command may take that starts a plugin: its Python environment may have to be made first, which has ten minutes. */
export const START_LIMIT = Duration.minutes(15)

/** What a file for `--config` may say. */
const ConfigFile = Schema.Struct({
  url: Schema.optionalKey(Schema.String),
  tokenFile: Schema.optionalKey(Schema.String),
})

const decodeConfig = Schema.decodeUnknownEffect(
  ConfigFile.annotate({ messageUnexpectedKey: "there is no such setting; there are url, tokenFile" }),
  { errors: "all", onExcessProperty: "error" },
)

/** Reads a file for `--config`. Where it is itself, is what its paths are relative to. */
const readConfig = Effect.fnUntraced(function* (file: string) {
  const given = yield* Effect.mapError(
    Primitive.FileParse().parse(file),
    (why) => new CliError.UserError({ cause: `--config: ${why}` }),
  )
  const { tokenFile, ...others } = yield* Effect.mapError(decodeConfig(given), ({ issue }) =>
    wrongFlag("--config")({ problems: problemsOf(issue) }),
  )
  return tokenFile === undefined ? others : { ...others, tokenFile: resolve(dirname(file), tokenFile) }
})

/** The flags of every command for a running supervisor. */
export const daemonFlags = {
  url: Flag.String("url").pipe(
    Flag.withDescription(`Where the supervisor is. Default ${VARIABLES.url}, else ${DEFAULT_URL}`),
    Flag.withFallbackConfig(Config.String(VARIABLES.url)),
    Flag.optional,
  ),
  tokenFile: Flag.String("token-file").pipe(
    Flag.withDescription(`File with the supervisor's token. Default: the token in ${VARIABLES.accessToken}`),
    Flag.optional,
  ),
  config: Flag.File("config", { mustExist: true }).pipe(
    Flag.withDescription("JSON, YAML or TOML file with url and tokenFile, for what neither flags nor variables say"),
    Flag.mapEffect(readConfig),
    Flag.withDefault({}),
  ),
  json: Output.json,
}

/** What the flags say. */
export interface DaemonFlags {
  readonly url: Option.Option<string>
  readonly tokenFile: Option.Option<string>
  readonly config: typeof ConfigFile.Type
}

/** A token, and where it is from, for telling whose fault it is. */
interface Token {
  readonly value: Option.Option<Redacted.Redacted>
  readonly source: string
}

const readToken = Effect.fnUntraced(function* (
  file: string,
): Effect.fn.Return<Token, CommandError, FileSystem.FileSystem> {
  const fileSystem = yield* FileSystem.FileSystem
  const text = yield* Effect.mapError(fileSystem.readFileString(file), (error) =>
    failed(
      error.reason._tag === "NotFound"
        ? `there is no file ${file} with a token; the supervisor makes it where it is started with --token-file`
        : `the token can't be read: ${error.message}`,
    ),
  )
  const token = text.trim()
  if (!/^[\x21-\x7e]+$/.test(token)) return yield* failed(`${file} holds no token: one line of letters and signs`)
  return { value: Option.some(Redacted.make(token)), source: `the token in ${file}` }
})

const findToken = Effect.fnUntraced(function* ({
  config,
  tokenFile,
}: DaemonFlags): Effect.fn.Return<Token, CommandError, FileSystem.FileSystem> {
  if (Option.isSome(tokenFile)) return yield* readToken(tokenFile.value)
  const variable = yield* Config.option(Config.Redacted(VARIABLES.accessToken)).pipe(
    Effect.map(Option.filter((token) => Redacted.value(token) !== "")),
    Effect.orElseSucceed(() => Option.none()),
  )
  if (Option.isSome(variable)) return { value: variable, source: `the token in ${VARIABLES.accessToken}` }
  if (config.tokenFile !== undefined) return yield* readToken(config.tokenFile)
  return { value: Option.none(), source: "a request without a token" }
})

/** An error as the supervisor tells it. */
const AppError = Schema.Struct({
  message: Schema.String,
  detailed_error: Schema.optionalKey(Schema.String),
  status_code: Schema.Finite,
})

/** A running supervisor. */
export interface Daemon {
  readonly url: string
  /** What it answers to a request, as JSON. */
  readonly ask: (
    request: HttpClientRequest.HttpClientRequest,
    limit?: Duration.Duration,
  ) => Effect.Effect<unknown, CommandError>
  /** The same, where it has to be of this form. */
  readonly read: <S extends Schema.ConstraintDecoder<unknown>>(
    request: HttpClientRequest.HttpClientRequest,
    schema: S,
  ) => Effect.Effect<S["Type"], CommandError>
  /** The data of server-sent events, from when it begins to answer. */
  readonly events: (
    request: HttpClientRequest.HttpClientRequest,
  ) => Effect.Effect<Stream.Stream<string, CommandError>, CommandError>
}

/** Finds out where the supervisor is, and how it is asked. It is not asked yet. */
export const connect = Effect.fnUntraced(function* (
  flags: DaemonFlags,
): Effect.fn.Return<Daemon, CommandError, FileSystem.FileSystem | HttpClient.HttpClient> {
  const given = Option.getOrElse(flags.url, () => flags.config.url ?? DEFAULT_URL)
  const url = URL.parse(given)
  if (url === null || !/^https?:$/.test(url.protocol)) {
    return yield* new CommandError({ message: `${given} is no http or https URL`, exitCode: EXIT.usage })
  }
  const base = url.href.replace(/\/+$/, "")
  const token = yield* findToken(flags)
  const client = (yield* HttpClient.HttpClient).pipe(
    HttpClient.mapRequest((request) => {
      const there = HttpClientRequest.prependUrl(request, base)
      return Option.match(token.value, {
        onNone: () => there,
        onSome: (value) => HttpClientRequest.bearerToken(there, value),
      })
    }),
  )

  const unreachable = (why: string) =>
    new CommandError({
      message: `can't reach the plugin supervisor at ${base} (${why}); is it running (plugin-supervisor serve), and is it there (--url, ${VARIABLES.url})?`,
      exitCode: EXIT.unreachable,
    })
  const lost = ({ reason }: HttpClientError.HttpClientError) => {
    const cause = "cause" in reason ? reason.cause : undefined
    return unreachable(cause instanceof Error && cause.message !== "" ? cause.message : (codeOf(cause) ?? reason._tag))
  }
  const other = (status: number) =>
    failed(`${base} answers ${status}, but not as a plugin supervisor does: is something else there (--url)?`)

  const refused = Effect.fnUntraced(function* (response: HttpClientResponse.HttpClientResponse) {
    if (response.status === 401) {
      return yield* new CommandError({
        message: `the plugin supervisor at ${base} refuses ${token.source}; give the one that it was started with (--token-file, ${VARIABLES.accessToken})`,
        exitCode: EXIT.unauthorized,
      })
    }
    const body = yield* Effect.mapError(response.json, () => other(response.status))
    const error = yield* Effect.mapError(Schema.decodeUnknownEffect(AppError)(body), () => other(response.status))
    const detail = error.detailed_error ?? ""
    return yield* failed(error.message + (detail === "" || error.message.includes(detail) ? "" : ` (${detail})`))
  })
  const answer = (request: HttpClientRequest.HttpClientRequest) =>
    Effect.flatMap(Effect.mapError(client.execute(request), lost), (response) =>
      response.status >= 200 && response.status < 300 ? Effect.succeed(response) : refused(response),
    )
  const ask: Daemon["ask"] = (request, limit = ANSWER_LIMIT) =>
    Effect.gen(function* () {
      const response = yield* answer(request)
      return yield* Effect.mapError(response.json, () => other(response.status))
    }).pipe(
      Effect.timeoutOrElse({
        duration: limit,
        orElse: () => Effect.fail(unreachable(`no answer within ${Duration.format(limit)}`)),
      }),
    )
  return {
    url: base,
    ask,
    read: (request, schema) =>
      Effect.flatMap(ask(request), (body) =>
        Effect.mapError(Schema.decodeUnknownEffect(schema)(body), () => other(200)),
      ),
    events: Effect.fnUntraced(function* (request) {
      const response = yield* Effect.timeoutOrElse(answer(request), {
        duration: ANSWER_LIMIT,
        orElse: () => Effect.fail(unreachable("no answer")),
      })
      return Stream.suspend(() => {
        const data: Array<string> = []
        // What it says of asking again is left to whoever gave the command.
        const parser = Sse.makeParser((event) => event._tag === "Event" && data.push(event.data))
        return response.stream.pipe(
          Stream.mapError(lost),
          Stream.decodeText,
          Stream.flatMap((text) => {
            parser.feed(text)
            return Stream.fromIterable(data.splice(0))
          }),
        )
      })
    }),
  }
})

/** An error without words, as Node has them for names with several addresses. */
const codeOf = (cause: unknown): string | undefined => (cause as NodeJS.ErrnoException | undefined)?.code

/** The path of a plugin. */
export const pluginPath = (id: string, rest = ""): string => `/api/v4/plugins/${encodeURIComponent(id)}${rest}`

/** Carries out a command on the running supervisor that the flags name. Node's own client waits for as long as an answer takes. */
export const withDaemon = <A, E, R>(
  flags: DaemonFlags,
  use: (daemon: Daemon) => Effect.Effect<A, E, R>,
): Effect.Effect<A, E | CommandError, FileSystem.FileSystem | Exclude<R, HttpClient.HttpClient>> =>
  Effect.provide(Effect.flatMap(connect(flags), use), NodeHttpClient.layerNodeHttp)
