import { existsSync, mkdirSync, readdirSync, statSync, symlinkSync, utimesSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { makeStore } from "../../src/python/EnvironmentStore.ts"
import { folder, temporaryFolder } from "../support/folder.ts"

const FINISHED = { key: "abc", version: "3.11", base: "/usr" }

/** A store, and a way to put a whole environment into one of its folders, short of saying that it is finished. */
const store = Effect.gen(function* () {
  const directory = yield* temporaryFolder
  const made = yield* makeStore(directory)
  const begin = Effect.map(made.begin("abc"), (folder) => {
    const venv = join(folder, "venv")
    mkdirSync(join(venv, "lib"), { recursive: true })
    writeFileSync(join(venv, "lib/tiny.py"), "")
    return { folder, venv }
  })
  return { ...made, begin }
})

describe.skipIf(process.platform === "win32")("EnvironmentStore", () => {
  it.live("has what is finished, and nothing else, however whole it looks", () =>
    Effect.gen(function* () {
      const { begin, finish, finished, remove } = yield* store
      const first = yield* begin
      writeFileSync(join(first.folder, "environment.json.new"), JSON.stringify(FINISHED))
      const half = yield* begin
      writeFileSync(join(half.folder, "environment.json"), '{"key":"abc","vers')
      assert.deepStrictEqual(yield* finished("abc"), [])
      const { folder, venv } = yield* begin
      yield* finish(folder, venv, FINISHED)
      assert.deepStrictEqual(yield* finished("abc"), [{ ...FINISHED, folder }])
      assert.deepStrictEqual(yield* finished("ab"), [])
      assert.lengthOf(yield* finished(), 1)
      yield* remove(folder)
      assert.deepStrictEqual(yield* finished(), [])
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
  )

  it.live("is in a folder that is nobody else's, where that has to be made", () =>
    Effect.gen(function* () {
      const place = yield* temporaryFolder
      const { root } = yield* makeStore(join(place, "data/environments"))
      const modeOf = (path: string) => statSync(path).mode & 0o777
      assert.strictEqual(modeOf(join(place, "data")), 0o700)
      assert.strictEqual(modeOf(root) & 0o055, 0o055)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
  )

  it.live.skipIf(process.platform !== "linux")("says so, and waits for nothing, where its folder can't be made", () =>
    Effect.gen(function* () {
      for (const place of ["/proc/nowhere", "/proc/nowhere/environments"]) {
        const error = yield* Effect.flip(makeStore(place))
        assert.strictEqual(error._tag, "PythonEnvironmentFolderError")
      }
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
  )

  it.live("closes what is finished, and nothing that links lead to", () =>
    Effect.gen(function* () {
      const { begin, finish, remove } = yield* store
      const outside = yield* folder({ "a/file": "" })
      const { folder: made, venv } = yield* begin
      writeFileSync(join(venv, "lib/other.py"), "")
      symlinkSync(outside, join(venv, "link"))
      symlinkSync(".", join(venv, "lib/circle"))
      yield* finish(made, venv, FINISHED)
      for (const name of ["", "lib", "lib/tiny.py"])
        assert.strictEqual(statSync(join(venv, name)).mode & 0o222, 0, name)
      assert.notStrictEqual(statSync(join(outside, "a/file")).mode & 0o222, 0)
      yield* remove(made)
      assert.isFalse(existsSync(made))
      assert.isTrue(existsSync(join(outside, "a/file")))
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
  )

  it.live("removes what was left, and not what another host is making, nor what is somebody else's", () =>
    Effect.gen(function* () {
      const { begin, removeAbandoned, root } = yield* store
      const own = yield* begin
      const unknown = yield* begin
      writeFileSync(join(unknown.folder, "building"), "a host of another machine")
      const old = yield* begin
      writeFileSync(join(old.folder, "building"), "")
      const longAgo = new Date(Date.now() - 25 * 3600 * 1000)
      utimesSync(old.folder, longAgo, longAgo)
      mkdirSync(join(root, "photos"))
      utimesSync(join(root, "photos"), longAgo, longAgo)
      yield* removeAbandoned
      const names = [own.folder, unknown.folder].map((folder) => folder.slice(root.length + 1))
      assert.deepStrictEqual(readdirSync(root).toSorted(), [".cache", "photos", ...names].toSorted())
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
  )

  it.live("removes what nobody has used for long, by the last use of any host", () =>
    Effect.gen(function* () {
      const { begin, finish, isFinished, removeUnused, root, use } = yield* store
      const make = Effect.gen(function* () {
        const { folder, venv } = yield* begin
        yield* finish(folder, venv, FINISHED)
        utimesSync(join(folder, "environment.json"), 0, 0)
        return folder
      })
      const [unused, kept, used] = [yield* make, yield* make, yield* make]
      yield* use(used)
      const unfinished = yield* begin
      utimesSync(unfinished.folder, 0, 0)
      assert.deepStrictEqual(yield* removeUnused(Duration.infinity, () => false), [])
      assert.deepStrictEqual(yield* removeUnused(Duration.days(30), (folder) => folder === kept), [unused])
      assert.deepStrictEqual(
        readdirSync(root).toSorted(),
        [".cache", ...[kept, used, unfinished.folder].map((folder) => folder.slice(root.length + 1))].toSorted(),
      )
      assert.isFalse(yield* isFinished(unused))
      // Whoever comes too late does not make it anew.
      yield* use(unused)
      assert.isFalse(existsSync(unused))
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
  )
})
