/** Options of plugins as an operator writes them. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { pluginOptions } from "../../src/supervisor/PluginOptions.ts"
import { MattermostContract } from "../../src/mattermost/MattermostContract.ts"
import { allHooks, hookName } from "../../src/contract/Contract.ts"
import { HOOK_POLICY, policyOf } from "../../src/hooks/HookPolicy.ts"

const problems = (written: unknown) =>
  Effect.map(Effect.flip(pluginOptions(MattermostContract, written)), (error) =>
    error.problems.map(({ message, path }) => [path, message]),
  )

describe("pluginOptions", () => {
  it.effect("reads deadlines and what a failure means, by plugin and hook", () =>
    Effect.gen(function* () {
      const { plugins } = yield* pluginOptions(MattermostContract, {
        Guard: {
          hooks: {
            deadline: "5 seconds",
            policies: {
              MessageWillBePosted: { onFailure: "refuse", deadline: "700 millis" },
              UserWillLogIn: { onFailure: "refuse" },
            },
          },
        },
        slow: { hooks: { policies: { ServeHTTP: { deadline: "2 minutes" } } } },
      })
      const guard = plugins["guard"]?.hooks
      const slow = plugins["slow"]?.hooks
      assert.deepInclude(policyOf(MattermostContract, "messageWillBePosted", guard!), {
        onFailure: "refuse",
        deadline: Duration.millis(700),
      })
      assert.deepInclude(policyOf(MattermostContract, "userWillLogIn", guard!), {
        onFailure: "refuse",
        deadline: Duration.seconds(5),
      })
      assert.deepInclude(policyOf(MattermostContract, "serveHTTP", guard!), {
        onFailure: "allow",
        deadline: Duration.seconds(5),
      })
      assert.deepInclude(policyOf(MattermostContract, "serveHTTP", slow!), {
        onFailure: "allow",
        deadline: Duration.minutes(2),
      })
      assert.deepInclude(policyOf(MattermostContract, "messageWillBePosted", slow!), HOOK_POLICY)
    }),
  )

  it.effect("reads restarts, health checks, limits, waits and variables, for all plugins and for single ones", () =>
    Effect.gen(function* () {
      const { defaults, plugins } = yield* pluginOptions(MattermostContract, {
        "*": { restart: { budget: 3, delay: "2 seconds", retryEvery: false }, drainLimit: "0 seconds" },
        greedy: { limits: { memory: "256 MiB", openFiles: 100, user: "nobody" }, logLevel: "DEBUG" },
        debugged: { health: false, restart: false, variables: { A: "b" }, allowVariables: ["PROXY_*"] },
        watched: { health: { interval: "1 minute", misses: 5 }, restart: true, startTimeout: "2 minutes" },
      })
      assert.deepStrictEqual(defaults, {
        restart: { budget: 3, delay: Duration.seconds(2), retryEvery: false },
        drainLimit: Duration.zero,
      })
      assert.deepStrictEqual(plugins, {
        greedy: { limits: { memory: 256 * 1024 ** 2, openFiles: 100, user: "nobody" }, logLevel: "DEBUG" },
        debugged: { health: false, restart: false, variables: { A: "b" }, allowVariables: ["PROXY_*"] },
        watched: {
          health: { interval: Duration.minutes(1), misses: 5 },
          restart: true,
          startTimeout: Duration.minutes(2),
        },
      })
      assert.deepStrictEqual(yield* pluginOptions(MattermostContract, {}), { defaults: {}, plugins: {} })
      assert.deepStrictEqual(yield* problems({ g: { limits: { group: "plugins" } } }), [
        ["g.limits.group", "a group needs a user as well"],
      ])
    }),
  )

  it.effect("tells everything that is wrong at once, and where", () =>
    Effect.gen(function* () {
      const found = yield* problems({
        guard: {
          hooks: {
            dedline: "5 seconds",
            policies: {
              MessageWilBePosted: { onFailure: "refuse" },
              MessageWillBePosted: { onFailure: "sometimes", deadline: "5 parsecs" },
              UserWillLogIn: { onFailure: "refuse", retries: 3 },
            },
          },
        },
        other: { hooks: { deadline: "0 seconds" }, restarts: false },
        third: { hooks: { deadline: "Infinity", policies: { OnActivate: { deadline: 5 } } } },
        fourth: null,
        fifth: {
          health: { interval: "1 millis", misses: 0 },
          restart: { budget: 1.5, every: "1 second", retryEvery: true },
          limits: { memory: "lots", openFiles: 0, "open-files": 3, group: "plugins" },
          logLevel: "LOUD",
        },
      })
      assert.sameDeepMembers(found, [
        ["guard.hooks.dedline", "unknown setting; there are deadline, policies"],
        ["guard.hooks.policies.MessageWilBePosted", "there is no such hook"],
        ["guard.hooks.policies.MessageWillBePosted.onFailure", 'Expected "allow" | "refuse"'],
        ["guard.hooks.policies.MessageWillBePosted.deadline", "Expected a valid Duration string"],
        ["guard.hooks.policies.UserWillLogIn.retries", "unknown setting; there are deadline, onFailure"],
        [
          "other.restarts",
          "unknown setting; there are hooks, startTimeout, shutdownLimit, drainLimit, streamLimit, deactivateLimit, waitDelay, restart, health, limits, transport, logLevel, allowVariables, variables",
        ],
        ["fifth.restart.every", "unknown setting; there are delay, maxDelay, budget, stableAfter, retryEvery"],
        ["fifth.restart.budget", "Expected an integer"],
        ["fifth.restart.retryEvery", "Expected false | string"],
        ["fifth.health.interval", 'expected 100ms or more, such as "5 seconds"'],
        ["fifth.health.misses", "expected 1 or more"],
        [
          'fifth.limits["open-files"]',
          "unknown setting; there are memory, openFiles, cpus, cpuSeconds, processes, oomScoreAdjust, user, group",
        ],
        ["fifth.limits.memory", 'expected a size such as "256 MiB"'],
        ["fifth.limits.openFiles", "expected a whole number, from 1"],
        ["fifth.logLevel", 'Expected "DEBUG" | "INFO" | "WARNING" | "ERROR"'],
        ["other.hooks.deadline", 'expected a millisecond or more, such as "5 seconds"'],
        ["third.hooks.deadline", 'expected a millisecond or more, such as "5 seconds"'],
        ["third.hooks.policies.OnActivate.deadline", "Expected string"],
        ["fourth", "Expected object"],
      ])
      const error = yield* Effect.flip(
        pluginOptions(MattermostContract, { g: { hooks: { policies: { Nothing: {} } } } }),
      )
      assert.strictEqual(
        error.message,
        "These options of plugins can't be used; mend this: g.hooks.policies.Nothing: there is no such hook",
      )
    }),
  )

  it.effect("takes a refusal for the hooks that decide, and for no other", () =>
    Effect.gen(function* () {
      for (const hook of allHooks(MattermostContract)) {
        const name = hookName(MattermostContract, hook)
        const written = { p: { hooks: { policies: { [name]: { onFailure: "refuse" } } } } }
        if (MattermostContract.unary.get(hook)?.kind === "decides") yield* pluginOptions(MattermostContract, written)
        else {
          assert.deepStrictEqual(yield* problems(written), [
            [`p.hooks.policies.${name}.onFailure`, `${name} decides nothing that could be refused`],
          ])
        }
        yield* pluginOptions(MattermostContract, { p: { hooks: { policies: { [name]: { onFailure: "allow" } } } } })
      }
    }),
  )

  it.effect("takes each plugin once, in whatever case its id is written", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(pluginOptions(MattermostContract, { guard: {}, Guard: { health: false } }))
      assert.include(error.message, "Guard: the plugin has settings already; ids are in lower case")
    }),
  )
})
