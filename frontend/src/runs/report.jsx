// The report of a run, in a frame that has an origin of its own and may load nothing.

import { useState } from "preact/hooks";

export function Report({ names }) {
  const [picked, setPicked] = useState(names[0]);
  const [loaded, setLoaded] = useState("");
  const run = names.includes(picked) ? picked : names[0];
  const address = `/report/${encodeURIComponent(run)}`;
  return (
    <section aria-label="Report">
      <div class="filters">
        {names.length > 1 && (
          <label>
            Run
            <select value={run} onChange={(event) => setPicked(event.currentTarget.value)}>
              {names.map((name) => (
                <option key={name}>{name}</option>
              ))}
            </select>
          </label>
        )}
        <a href={address} target="_blank" rel="noreferrer">
          Open in a tab of its own
        </a>
      </div>
      <p class="soft" role="status">
        {loaded === run ? "" : "Making the report ..."}
      </p>
      <iframe key={run} class="report" title={`Report of ${run}`} src={address} sandbox="allow-scripts" onLoad={() => setLoaded(run)} />
    </section>
  );
}
