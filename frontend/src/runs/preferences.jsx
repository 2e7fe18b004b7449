// Preferences about the same pairs of answers that differ between runs, and the principle that moved each.

import { useState } from "preact/hooks";
import { PlainText, WordDiff } from "../shared/text.jsx";

const percent = (p) => `${Math.round(100 * p)} %`;

export function Preferences({ found }) {
  const [principle, setPrinciple] = useState("");
  if (!found.shifts.length) return <p class="soft">These runs have no preferences about the same pairs of answers.</p>;
  const key = Object.fromEntries(found.runs.map((run) => [run.label, run.key]));
  const named = (flip) => (flip.principle === null ? "unknown" : found.data.principles[flip.principle]);
  const flips = found.flips.filter((flip) => !principle || named(flip) === principle);
  const names = [...new Set(found.flips.map(named))];
  return (
    <section aria-label="Preferences">
      {found.shifts.map((shift) => (
        <div key={`${shift.before} ${shift.after}`} class="shift">
          <p>
            <strong>
              {key[shift.before]} → {key[shift.after]}
            </strong>
            : {shift.compared ? `${shift.flipped} of ${shift.compared} preferences` : "no preferences are"} about the same answers{shift.compared > 0 && " flipped"}
            {shift.share && shift.flipped > 0 && ` (${shift.share})`}
            {shift.mean_change && `; the probability moved by ${shift.mean_change} on average`}.
            {shift.only[0] + shift.only[1] > 0 &&
              ` Other answers, which cannot be compared: ${shift.only[0]} in ${key[shift.before]} only, ${shift.only[1]} in ${key[shift.after]} only.`}
          </p>
          {Object.keys(shift.by_principle).length > 0 && (
            <table class="measures narrow">
              <thead>
                <tr>
                  <th scope="col">Principle that moved most</th>
                  <th scope="col">Flips</th>
                </tr>
              </thead>
              <tbody>
                {Object.entries(shift.by_principle).map(([name, count]) => (
                  <tr key={name}>
                    <th scope="row">{shift.names[name] ?? name}</th>
                    <td>{count}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          )}
        </div>
      ))}
      {names.length > 1 && (
        <div class="filters">
          <label>
            Moved by
            <select value={principle} onChange={(event) => setPrinciple(event.currentTarget.value)}>
              <option value="">any principle</option>
              {names.map((name) => (
                <option key={name}>{name}</option>
              ))}
            </select>
          </label>
        </div>
      )}
      {flips.map((flip) => (
        <article key={`${flip.id} ${flip.runs.join()}`} class="card compared">
          <div class="prompt">
            <PlainText text={found.data.texts[flip.messages.at(-1)[1]]} />
          </div>
          <p class="soft">
            <span class="badge flips">flipped</span> by {named(flip)}: the probability that the answer preferred in {key[flip.runs[1]]} is better was {percent(flip.p[0])} and is {percent(flip.p[1])}
          </p>
          <div class="side">
            <div class="one">
              <h3>Preferred in {key[flip.runs[0]]}</h3>
              <PlainText text={found.data.texts[flip.then]} />
            </div>
            <div class="one">
              <h3>Preferred in {key[flip.runs[1]]}</h3>
              <WordDiff before={found.data.texts[flip.then]} after={found.data.texts[flip.now]} />
            </div>
          </div>
        </article>
      ))}
    </section>
  );
}
