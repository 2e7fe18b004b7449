// The report of a run, in a frame that has an origin of its own and may load nothing.

import { useEffect, useRef, useState } from "preact/hooks";

const theme = () => document.documentElement.dataset.theme;

export function Report({ names }) {
  const [picked, setPicked] = useState(names[0]);
  const [loaded, setLoaded] = useState("");
  const run = names.includes(picked) ? picked : names[0];
  const frame = useRef(null);
  const first = useRef(theme()); // with which a frame opens; later ones are sent to it, so that it stays where it is
  const address = `/report/${encodeURIComponent(run)}?theme=${first.current}`;
  const follow = () => frame.current?.contentWindow?.postMessage({ theme: theme() }, "*");
  useEffect(() => {
    const watching = new MutationObserver(follow);
    watching.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    return () => watching.disconnect();
  }, []);
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
          Open in a new tab
        </a>
      </div>
      <p class="soft" role="status">
        {loaded === run ? "" : "Making the report ..."}
      </p>
      <iframe key={run} class="report" title={`Report of ${run}`} src={address} sandbox="allow-scripts" ref={frame} onLoad={() => (setLoaded(run), follow())} />
    </section>
  );
}
