// Build publius/studio/static from src: one script, one style sheet, the page, and the licences of what is bundled.
// build.json has the digest of every source and built file; a test of the Python package compares them.

import { build } from "esbuild";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, "..", "publius", "studio", "static");

const filesBelow = (folder) =>
  readdirSync(folder, { withFileTypes: true })
    .flatMap((entry) => (entry.isDirectory() ? filesBelow(join(folder, entry.name)) : [join(folder, entry.name)]))
    .sort();
const digest = (file) => createHash("sha256").update(readFileSync(file)).digest("hex");

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
const result = await build({
  absWorkingDir: here,
  entryPoints: { studio: "src/main.jsx", theme: "src/theme.js" },
  bundle: true,
  minify: true,
  format: "iife",
  target: ["chrome111", "firefox113", "safari16.4"],
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
  metafile: true,
  outdir: out,
});
await build({ absWorkingDir: here, entryPoints: { studio: "src/style/studio.css" }, bundle: true, minify: true, outdir: out });
for (const name of ["index.html", "icon.svg"]) writeFileSync(join(out, name), readFileSync(join(here, "src", name)));

const packages = new Set(
  Object.keys(result.metafile.inputs)
    .map((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1])
    .filter(Boolean),
);
const licence = (name) => {
  const folder = join(here, "node_modules", name);
  const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const file = ["LICENSE", "LICENSE.md", "LICENSE.txt", "license"].map((one) => join(folder, one)).find(existsSync);
  if (!file) throw new Error(`${name} has no licence file`);
  return `${name} ${version}\n\n${readFileSync(file, "utf8").trim()}\n`;
};
writeFileSync(
  join(out, "licences.txt"),
  `studio.js contains the following packages.\n\n${[...packages].sort().map(licence).join("\n----\n\n")}`,
);

const sources = [...filesBelow(join(here, "src")), ...["build.mjs", "package.json", "package-lock.json"].map((f) => join(here, f))];
const listed = (files, base) => Object.fromEntries(files.map((file) => [relative(base, file), digest(file)]));
writeFileSync(
  join(out, "build.json"),
  `${JSON.stringify({ sources: listed(sources, here), built: listed(filesBelow(out), out) }, null, 2)}\n`,
);
