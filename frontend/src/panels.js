// The panels of the studio, in the order of the navigation. Each is whole before it is listed here.

import { EditPanel } from "./editor/panel.jsx";
import { RatingsPanel } from "./ratings/panel.jsx";
import { RunsPanel } from "./runs/panel.jsx";
import { TalkPanel } from "./talk/panel.jsx";

export const panels = [
  { id: "edit", title: "Edit", panel: EditPanel },
  { id: "runs", title: "Runs", panel: RunsPanel },
  { id: "talk", title: "Talk", panel: TalkPanel },
  { id: "ratings", title: "Ratings", panel: RatingsPanel },
];
