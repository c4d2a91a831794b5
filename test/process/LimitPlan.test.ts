/** How limits are held on machines that are not this one: the files of control groups, and what is missing. */
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { baseOf, controlGroup } from "../../src/process/ControlGroup.ts"
import { type LimitMeans, planLimits } from "../../src/process/LimitPlan.ts"
import type { ProcessLimits } from "../../src/process/ProcessLimits.ts"
import { wrap } from "../../src/process/Wrapper.ts"
import { folder } from "../support/folder.ts"

/** A control group as the kernel shows one that has these controllers' files, below two others. */
const groupWith = Effect.fnUntraced(function* (files: ReadonlyArray<string>) {
  const all = [...files, "cgroup.procs", "cgroup.kill"]
  const root = yield* folder({
    "cgroup.subtree_control": "",
    "host/cgroup.subtree_control": "",
    ...Object.fromEntries(all.map((file) => [`host/1/${file}`, ""])),
  })
  const directory = join(root, "host/1")
  return {
    root,
    group: controlGroup(directory, [root, join(root, "host")]),
    read: (file: string) => readFileSync(join(directory, file), "utf8"),
    write: (file: string, text: string) => writeFileSync(join(directory, file), text),
    has: (file: string) => existsSync(join(directory, file)),
  }
})

const MEMORY = ["memory.max", "memory.oom.group", "memory.swap.max", "memory.events"]

const LINUX: LimitMeans = {
  platform: "linux",
  isWrapped: true,
  prlimit: "/usr/bin/prlimit",
  canWatch: true,
  controlGroup: undefined,
}

const ALL: ProcessLimits = {
  memory: 1024 ** 2,
  openFiles: 20,
  cpus: 0.5,
  cpuSeconds: 10,
  processes: 5,
  oomScoreAdjust: 7,
}

const modes = (means: Partial<LimitMeans>, limits = ALL) =>
  planLimits(limits, undefined, { ...LINUX, ...means }).held.map(({ mode, name }) => `${name}: ${mode}`)

describe.skipIf(process.platform === "win32")("limits of a control group", () => {
  it.live("are written to its files, and their controllers turned on above it", () =>
    Effect.gen(function* () {
      const { group, read, root } = yield* groupWith([...MEMORY, "pids.max", "cpu.max"])
      assert.deepStrictEqual(modes({ controlGroup: group }), [
        "memory: control group",
        "openFiles: process",
        "cpus: control group",
        "cpuSeconds: process",
        "processes: control group",
        "oomScoreAdjust: process",
      ])
      assert.deepStrictEqual(["memory.max", "memory.oom.group", "memory.swap.max", "pids.max", "cpu.max"].map(read), [
        "1048576",
        "1",
        "0",
        "5",
        "50000 100000",
      ])
      for (const above of [root, join(root, "host")]) {
        assert.strictEqual(readFileSync(join(above, "cgroup.subtree_control"), "utf8"), "+pids")
      }
    }).pipe(Effect.scoped),
  )

  it.live("are left to the host where it has no controllers, and nothing is written then", () =>
    Effect.gen(function* () {
      const { group, has } = yield* groupWith(["pids.max"])
      assert.deepStrictEqual(modes({ controlGroup: group }), [
        "memory: watched",
        "openFiles: process",
        "cpus: unavailable",
        "cpuSeconds: process",
        "processes: control group",
        "oomScoreAdjust: process",
      ])
      assert.isFalse(has("memory.max"))
    }).pipe(Effect.scoped),
  )

  it.live("tell how often the kernel has ended somebody, and who is in it", () =>
    Effect.gen(function* () {
      const { group, read, write } = yield* groupWith(MEMORY)
      assert.strictEqual(group.memoryKills(), 0)
      write("memory.events", "low 0\nhigh 0\nmax 12\noom 1\noom_kill 3\noom_group_kill 1\n")
      assert.strictEqual(group.memoryKills(), 3)
      write("cgroup.procs", "12\n345\n")
      assert.deepStrictEqual([...group.pids()], [12, 345])
      group.kill()
      assert.strictEqual(read("cgroup.kill"), "1")
    }).pipe(Effect.scoped),
  )
})

describe("the group that a host makes its own in", () => {
  const cases = {
    "/sys/fs/cgroup/system.slice/plugins.service/host": "/sys/fs/cgroup/system.slice/plugins.service",
    "/sys/fs/cgroup/system.slice/plugins.service": "/sys/fs/cgroup/system.slice/plugins.service",
    "/sys/fs/cgroup/user@5.service/run-1.scope": "/sys/fs/cgroup/user@5.service/run-1.scope",
    "/sys/fs/cgroup/user@5.service/app.slice/vte.scope/host": "/sys/fs/cgroup/user@5.service/app.slice/vte.scope",
    "/sys/fs/cgroup/user.slice/mine": "/sys/fs/cgroup/user.slice/mine",
    "/sys/fs/cgroup": "/sys/fs/cgroup",
  }
  it.each(Object.entries(cases))("of %s is %s", (own, base) => assert.strictEqual(baseOf(own), base))
})

describe.skipIf(process.platform !== "linux")("limits of machines", () => {
  it("are told where they can't be held: no prlimit, no wrapper, no /proc, no Linux", () => {
    assert.deepStrictEqual(modes({ prlimit: undefined }), [
      "memory: watched",
      "openFiles: unavailable",
      "cpus: unavailable",
      "cpuSeconds: unavailable",
      "processes: watched",
      "oomScoreAdjust: process",
    ])
    const unwrapped = modes({ isWrapped: false, canWatch: false })
    for (const without of [unwrapped, modes({ platform: "darwin" })]) {
      assert.isTrue(
        without.every((mode) => mode.endsWith(": unavailable")),
        without.join(),
      )
    }
    const { held } = planLimits({ openFiles: 1 }, undefined, { ...LINUX, prlimit: undefined })
    assert.strictEqual(held[0]?.note, "there is no prlimit of util-linux")
  })

  it("are the host's own where those are lower", () => {
    const { held, resources } = planLimits({ openFiles: Number.MAX_SAFE_INTEGER }, undefined, LINUX)
    const own = /^Max open files +\S+ +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))![1]
    assert.deepStrictEqual(resources, [`--nofile=${own}:${own}`])
    assert.strictEqual(held[0]?.note, `the host itself may have ${own}`)
  })

  it("are set as long as the process may, and the user is changed before the parent-death signal is asked for", () => {
    const spec = { pluginId: "p", executable: "/p", args: ["a b"], cwd: "/", env: {} }
    const user = { name: "u", uid: 5, gid: 6 }
    const [shell, args] = wrap(
      { ...spec, user },
      { setpriv: "/setpriv", prlimit: ["/prlimit", ["--nofile=1:1"]], members: "/group", oomScore: 9 },
    )
    assert.strictEqual(
      [shell, ...args.slice(2)].join(" "),
      "/bin/sh sh  /group 9 /proc/self/oom_score_adj -- /prlimit --nofile=1:1 -- " +
        "/setpriv --reuid=5 --regid=6 --clear-groups --inh-caps=-all --no-new-privs --pdeathsig KILL -- /p a b",
    )
    const nothing = { setpriv: undefined, prlimit: undefined, members: undefined, oomScore: undefined }
    assert.deepStrictEqual(wrap(spec, nothing), ["/p", ["a b"]])
  })
})
