/** Tiny Python packages, so that tests install what is on the disk and need no network. */
import { execFileSync } from "node:child_process"
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import { inject } from "vitest"

const uv = inject("uv")

/** A package as a test describes it. */
export interface Package {
  readonly name: string
  /** Default 1.0. */
  readonly version?: string
  /** Contents by path in site-packages. Default: a module of the package's name, with its version. */
  readonly files?: { readonly [path: string]: string }
  readonly requires?: ReadonlyArray<string>
  /** Default `py3-none-any`. */
  readonly tag?: string
  /** Where it has to be built instead of being a wheel: the file in which its build leaves a line. */
  readonly buildsInto?: string
}

const MAKE = `
import base64, hashlib, io, json, sys, tarfile, zipfile
# A build that needs nothing but itself.
PROJECT = '[build-system]\\nrequires = []\\nbuild-backend = "backend"\\nbackend-path = ["."]\\n'
BACKEND = """
import zipfile
marker, name, version = %r, %r, %r
def build_wheel(directory, settings=None, metadata=None):
    with open(marker, "a") as file:
        file.write("built\\\\n")
    wheel, info = f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info"
    with zipfile.ZipFile(f"{directory}/{wheel}", "w") as out:
        out.writestr(f"{name}.py", f"version = {version!r}")
        out.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\\\\nName: {name}\\\\nVersion: {version}\\\\n")
        out.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\\\nGenerator: test\\\\nRoot-Is-Purelib: true\\\\nTag: py3-none-any\\\\n")
        out.writestr(f"{info}/RECORD", f"{name}.py,,\\\\n{info}/METADATA,,\\\\n{info}/WHEEL,,\\\\n{info}/RECORD,,\\\\n")
    return wheel
"""
folder, packages = sys.argv[1], json.load(sys.stdin)
for p in packages:
    name, version = p["name"].replace("-", "_"), p.get("version", "1.0")
    meta = f"Metadata-Version: 2.1\\nName: {p['name']}\\nVersion: {version}\\n"
    meta += "".join(f"Requires-Dist: {one}\\n" for one in p.get("requires", []))
    if "buildsInto" in p:
        sources = {"PKG-INFO": meta, "pyproject.toml": PROJECT, "backend.py": BACKEND % (p["buildsInto"], name, version)}
        with tarfile.open(f"{folder}/{name}-{version}.tar.gz", "w:gz") as tar:
            for path, text in sources.items():
                info = tarfile.TarInfo(f"{name}-{version}/{path}")
                info.size = len(text.encode())
                tar.addfile(info, io.BytesIO(text.encode()))
        continue
    tag, info = p.get("tag", "py3-none-any"), f"{name}-{version}.dist-info"
    files = dict(p.get("files", {f"{name}.py": f"version = '{version}'\\n"}))
    files[f"{info}/METADATA"] = meta
    files[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: {tag}\\n"
    record = ""
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(text.encode())}\\n"
    files[f"{info}/RECORD"] = record + f"{info}/RECORD,,\\n"
    with zipfile.ZipFile(f"{folder}/{name}-{version}-{tag}.whl", "w") as wheel:
        for path, text in files.items():
            # The same bytes whenever it is made: environments are known by their content.
            wheel.writestr(zipfile.ZipInfo(path), text)
`

/** Puts packages into a folder, from which pip and uv can install them. */
export const makePackages = (folder: string, packages: ReadonlyArray<Package>): void => {
  mkdirSync(folder, { recursive: true })
  const python = "python" in uv ? uv.python : "python3"
  execFileSync(python, ["-I", "-c", MAKE, folder], { input: JSON.stringify(packages) })
}

/** The SDK as a package that leads to the one in the tests' environment, where all that it needs is, too. */
export const installedSdk = (): Package => {
  const python = inject("python")
  const interpreter = join("bin" in python ? python.bin : "", "python")
  const where = "import sysconfig; print(sysconfig.get_path('purelib'))"
  const folder = execFileSync(interpreter, ["-c", where], { encoding: "utf8" }).trim()
  const line = `import site; site.addsitedir(${JSON.stringify(folder)})\n`
  return { name: "effect-plugin-supervisor-sdk", version: "9.0", files: { "installed_sdk.pth": line } }
}

/** By these flags packages come from the folder `wheels` alone, and the SDK is that one. */
export const OFFLINE = [
  "--offline",
  "--python-tool",
  "pip",
  "--find-links",
  "wheels",
  "--python-sdk",
  "effect-plugin-supervisor-sdk",
]
