import { type DescField, type DescMessage, type DescMethod, type DescService, ScalarType } from "@bufbuild/protobuf"
import { Schema } from "effect"
import { mendThese, Problem } from "../bundle/Problem.ts"
import type { AnyDecision } from "./Decision.ts"
import { STANDARD_LIFECYCLE } from "./Lifecycle.ts"

/** A contract that can't work. All that is wrong with it is told at once. */
export class ContractError extends Schema.TaggedError<ContractError>()("ContractError", {
  /** The hooks' service, by its full name. */
  contract: Schema.String,
  problems: Schema.Array(Problem),
}) {
  override get message(): string {
    return `the contract of ${this.contract} can't work; ${mendThese(this.problems)}`
  }
}

/** What is looked at, whatever the types were that its author was told of. */
interface Given {
  readonly hooks: DescService
  readonly api: DescService
  readonly handshake: {
    readonly magicCookieKey: string
    readonly magicCookieValue: string
    readonly protocolVersions?: ReadonlyArray<number>
  }
  readonly deciding?: { readonly [hook: string]: AnyDecision | undefined }
  readonly errors?: object | undefined
  readonly notifying?: ReadonlyArray<string>
  readonly single?: ReadonlyArray<string>
  readonly lifecycle?: { readonly [step: string]: string | undefined }
}

/** Throws a {@link ContractError} for a contract that can't work. */
export const checkContract = (given: Given): void => {
  const problems = [...handshakeProblems(given), ...methodProblems(given), ...hookProblems(given)]
  if (problems.length > 0) throw new ContractError({ contract: given.hooks.typeName, problems })
}

function* handshakeProblems({ handshake }: Given): Iterable<Problem> {
  const { magicCookieKey, magicCookieValue, protocolVersions = [1] } = handshake
  if (!/^[A-Za-z_]\w*$/.test(magicCookieKey)) {
    yield { path: "handshake.magicCookieKey", message: `name a variable of the environment, such as BILLING_PLUGIN` }
  }
  if (magicCookieValue === "") yield { path: "handshake.magicCookieValue", message: "say something" }
  if (protocolVersions.length === 0 || protocolVersions.some((version) => !Number.isInteger(version) || version < 0)) {
    yield { path: "handshake.protocolVersions", message: "list whole numbers, the first one is usually 1" }
  }
}

function* methodProblems({ api, hooks, lifecycle = {} }: Given): Iterable<Problem> {
  const own = new Set(Object.values(lifecycle))
  for (const method of hooks.methods) {
    const { localName, methodKind, name } = method
    if (own.has(localName)) continue
    if (methodKind !== "unary") {
      yield {
        path: `hooks.${localName}`,
        message: `${name} streams, and hooks are called with one message and answered with one; only HTTP streams (lifecycle.serveHTTP)`,
      }
    } else if (localName === "implemented" || localName in STANDARD_LIFECYCLE) {
      yield {
        path: `hooks.${localName}`,
        message: `every contract has ${name} (plugin_supervisor.v1); name this one in lifecycle, if it is to be used in place of that, or call it otherwise`,
      }
    }
  }
  for (const { localName, methodKind, name } of api.methods) {
    if (methodKind !== "unary") {
      yield { path: `api.${localName}`, message: `${name} streams; the host API answers one message with one` }
    }
  }
}

function* hookProblems(given: Given): Iterable<Problem> {
  const { deciding = {}, errors, hooks, lifecycle = {}, notifying = [], single = [] } = given
  for (const [step, hook] of Object.entries(lifecycle)) {
    if (hook === undefined) continue
    const method = hooks.method[hook]
    const standard = (STANDARD_LIFECYCLE as unknown as { readonly [step: string]: DescMethod })[step]
    if (standard === undefined) yield { path: `lifecycle.${step}`, message: unknownName(step, STANDARD_LIFECYCLE) }
    else if (method === undefined) yield { path: `lifecycle.${step}`, message: unknownName(hook, hooks.method) }
    else yield* shapeProblems(`lifecycle.${step}`, method, standard)
  }
  for (const [name, list] of Object.entries({ notifying, single })) {
    for (const hook of list) {
      if (hooks.method[hook] === undefined) yield { path: name, message: unknownName(hook, hooks.method) }
      if (deciding[hook] !== undefined)
        yield { path: name, message: `${hook} is in deciding; take it out of one of them` }
    }
  }
  for (const [hook, decision] of Object.entries(deciding)) {
    const method = hooks.method[hook]
    if (method === undefined) yield { path: `deciding.${hook}`, message: unknownName(hook, hooks.method) }
    else if (decision !== undefined) {
      yield* decisionProblems(`deciding.${hook}`, method, decision)
      // Errors that are answered may refuse.
      if (errors === undefined && decidesNothing(decision)) {
        yield {
          path: `deciding.${hook}`,
          message:
            "plugins can't refuse and change nothing; name what refuses, or what they may replace, or leave it out",
        }
      }
    }
  }
}

function* decisionProblems(path: string, { input, output }: DescMethod, decision: AnyDecision): Iterable<Problem> {
  const { refusal, replaces = {} } = decision
  if (refusal !== false) {
    if (!isText(fieldOf(output, refusal))) {
      const known = output.fields
        .filter(isText)
        .map(({ localName }) => localName)
        .join(", ")
      yield {
        path: `${path}.refusal`,
        message: `a hook that decides refuses by a text of its response: ${known === "" ? `add a field to ${output.name} (string refusal = 1), or say false` : `name one of ${known}, or say false`}, if plugins may only change the matter`,
      }
    }
  }
  for (const [field, by] of Object.entries(replaces)) {
    const [asked, answered] = [fieldOf(input, field), fieldOf(output, by)]
    if (asked === undefined) yield { path: `${path}.replaces`, message: `${input.name} has no field ${field}` }
    else if (answered === undefined) yield { path: `${path}.replaces`, message: `${output.name} has no field ${by}` }
    else if (typeOf(asked) !== typeOf(answered)) {
      yield {
        path: `${path}.replaces`,
        message: `${output.name}.${by} is ${typeOf(answered)}, and can't replace ${input.name}.${field}, which is ${typeOf(asked)}`,
      }
    }
  }
}

const decidesNothing = ({ apply, refusal, replaces = {} }: AnyDecision): boolean =>
  refusal === false && apply === undefined && Object.keys(replaces).length === 0

/** What a contract's own rpc lacks of the standard one that it stands for. */
function* shapeProblems(path: string, own: DescMethod, standard: DescMethod): Iterable<Problem> {
  if (own.methodKind !== standard.methodKind) {
    yield {
      path,
      message: `${own.name} has to be as plugin_supervisor.v1.${standard.name} is, which is ${standard.methodKind}`,
    }
    return
  }
  for (const [side, expected] of [
    [own.input, standard.input],
    [own.output, standard.output],
  ] as const) {
    yield* fieldProblems(path, side, expected)
  }
}

function* fieldProblems(path: string, own: DescMessage, standard: DescMessage): Iterable<Problem> {
  for (const expected of standard.fields) {
    const field = fieldOf(own, expected.localName)
    if (field === undefined || kindOf(field) !== kindOf(expected)) {
      yield { path, message: `${own.name} needs a field ${expected.name} as ${standard.typeName} has it` }
    } else if (field.message !== undefined && expected.message !== undefined) {
      yield* fieldProblems(path, field.message, expected.message)
    }
  }
}

const fieldOf = (message: DescMessage, localName: string | undefined): DescField | undefined =>
  message.fields.find((field) => field.localName === localName)

const isText = (field: DescField | undefined): boolean =>
  field?.fieldKind === "scalar" && field.scalar === ScalarType.STRING

/** What a field holds, but for which message or enum that is. */
const kindOf = (field: DescField): string =>
  field.fieldKind === "list"
    ? `list of ${field.listKind} ${field.scalar ?? ""}`
    : `${field.fieldKind} ${field.scalar ?? ""}`

/** What a field holds. */
const typeOf = (field: DescField): string =>
  [
    field.fieldKind,
    field.message?.typeName ?? field.enum?.typeName ?? (field.scalar && ScalarType[field.scalar].toLowerCase()),
  ]
    .filter(Boolean)
    .join(" ")

/** Says that there is no such name, and which one may have been meant. */
const unknownName = (name: string, known: object): string => {
  const plain = (text: string) => text.replaceAll("_", "").toLowerCase()
  const meant = Object.keys(known).find((other) => plain(other) === plain(name))
  return meant === undefined
    ? `there is no ${name}; there are ${Object.keys(known).slice(0, 20).join(", ")}`
    : `there is no ${name}; it is called ${meant}`
}
