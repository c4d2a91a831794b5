/** Tiny Python packages, so that tests install what is on the disk and need no network. */
import { execFileSync } from "node:child_process"
import { mkdirSync } from "node:fs"
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
  /** Whether it has to be built, by this `setup.py`, instead of being a wheel. */
  readonly setup?: string
}

const MAKE = `
import base64, hashlib, io, json, sys, tarfile, zipfile
folder, packages = sys.argv[1], json.load(sys.stdin)
for p in packages:
    name, version = p["name"].replace("-", "_"), p.get("version", "1.0")
    meta = f"Metadata-Version: 2.1\\nName: {p['name']}\\nVersion: {version}\\n"
    meta += "".join(f"Requires-Dist: {one}\\n" for one in p.get("requires", []))
    if "setup" in p:
        with tarfile.open(f"{folder}/{name}-{version}.tar.gz", "w:gz") as tar:
            for path, text in {"PKG-INFO": meta, "setup.py": p["setup"]}.items():
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
