import { resolve } from "node:path"
import { Duration, Redacted } from "effect"

/** Where plugins get the SDK from. */
export interface SdkSource {
  /**
   * What is installed: a requirement as pip reads it, or the path of a wheel or of the SDK's own folder. Default: the one
   * that came with this host.
   */
  readonly requirement?: string | undefined
  /** The module that tells whether it is there. Default `mattermost_plugin`. */
  readonly module?: string | undefined
  /**
   * Distributions that have that module: where a plugin asks for one of them itself, nothing is added. Default
   * `effect-plugin-supervisor-sdk` and `mattermost-plugin-sdk`.
   */
  readonly distributions?: ReadonlyArray<string> | undefined
}

/** What an operator sets for Python environments. */
export interface PythonEnvironmentsOptions {
  /** The folder of the environments; made when it is missing. It should have a short path, since programs in it name it. */
  readonly directory: string
  /** The SDK that every environment has; `false` for none. */
  readonly sdk?: SdkSource | false | undefined
  /**
   * What every environment has beside the SDK, the Python package of a contract say: requirements as pip reads them, or
   * the paths of wheels or of projects' folders (`./package`: what has a slash is a path). Of one for which a bundle has a
   * wheel or a lock, that counts. A plugin is then never run by the host's own Python. Default: none.
   */
  readonly packages?: ReadonlyArray<string> | undefined
  /** Which tool makes them. Default: `uv` if it is on the host's PATH, else `pip`. */
  readonly tool?: "uv" | "pip" | undefined
  /** The package index, in place of PyPI; a user and a password in it are told nobody. */
  readonly indexUrl?: string | Redacted.Redacted | undefined
  /** Further indexes. */
  readonly extraIndexUrls?: ReadonlyArray<string | Redacted.Redacted> | undefined
  /** Folders of wheels, from the host's working directory, and pages with links to them. */
  readonly findLinks?: ReadonlyArray<string> | undefined
  /** Whether nothing may be fetched: packages come from bundles, from `findLinks`, and with uv from its cache. Default false. */
  readonly offline?: boolean | undefined
  /** Whether packages without a wheel may be built, which runs their code. Default true. */
  readonly allowBuilds?: boolean | undefined
  /** How long it may take to make an environment. Default ten minutes. */
  readonly totalLimit?: Duration.Input | undefined
  /** How long a tool may do nothing: no output, and on Linux nothing written and no CPU time used. Default two minutes. */
  readonly stallLimit?: Duration.Input | undefined
  /** After how long environments that no plugin was started by are removed; `Duration.infinity`: never. Default 30 days. */
  readonly unusedLimit?: Duration.Input | undefined
  /** Variables of the tools' environment, `PIP_CERT` say. Of the host's they see what plugins see, proxies and certificates. */
  readonly variables?: { readonly [name: string]: string } | undefined
}

/** Time for some hundred megabytes of packages on a slow line. */
const TOTAL_LIMIT = Duration.minutes(10)

/** More than tools wait for an index before they try again. */
const STALL_LIMIT = Duration.minutes(2)

/** A plugin may be switched off for some weeks and come back without a network. */
const UNUSED_LIMIT = Duration.days(30)

/** Variables of the host by which tools find their way out. */
export const NETWORK_VARIABLES: ReadonlyArray<string> = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"]
  .flatMap((name) => [name, name.toLowerCase()])
  .concat("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")

const revealed = (value: string | Redacted.Redacted): string =>
  Redacted.isRedacted(value) ? Redacted.value(value) : value

/** What is secret in a URL, as it is written and as it is meant. */
const credentialsOf = (url: string): ReadonlyArray<string> => {
  const { password = "", username = "" } = URL.parse(url) ?? {}
  // Some indexes take a token in the user's place.
  const secret = password === "" ? username : password
  try {
    return [secret, decodeURIComponent(secret)]
  } catch {
    return [secret]
  }
}

/** What stands for the SDK of a host that has none beside it. */
const BY_NAME = "effect-plugin-supervisor-sdk"

/** Settings with their defaults; `ownSdk` is the SDK that came with this host. */
export const settingsOf = (options: PythonEnvironmentsOptions, ownSdk: string = BY_NAME) => {
  const indexUrl = options.indexUrl === undefined ? undefined : revealed(options.indexUrl)
  const extraIndexUrls = (options.extraIndexUrls ?? []).map(revealed)
  // Tools run elsewhere.
  const findLinks = (options.findLinks ?? []).map((place) => (URL.canParse(place) ? place : resolve(place)))
  const packages = options.packages ?? []
  const {
    distributions = [BY_NAME, "mattermost-plugin-sdk"],
    module = "mattermost_plugin",
    requirement = ownSdk,
  } = options.sdk === false || options.sdk === undefined ? {} : options.sdk
  return {
    sdk: options.sdk === false ? undefined : { distributions, module, requirement },
    packages,
    tool: options.tool,
    indexUrl,
    extraIndexUrls,
    findLinks,
    offline: options.offline ?? false,
    allowBuilds: options.allowBuilds ?? true,
    totalLimit: Duration.fromInputUnsafe(options.totalLimit ?? TOTAL_LIMIT),
    stallLimit: Duration.fromInputUnsafe(options.stallLimit ?? STALL_LIMIT),
    unusedLimit: Duration.fromInputUnsafe(options.unusedLimit ?? UNUSED_LIMIT),
    variables: options.variables ?? {},
    secrets: [indexUrl ?? "", requirement, ...packages, ...extraIndexUrls, ...findLinks].flatMap(credentialsOf),
  }
}
export type EnvironmentSettings = ReturnType<typeof settingsOf>
