// The panels of the studio, in the order of the navigation. Each is whole before it is listed here.

import { EditPanel } from "./editor/panel.jsx";

export const panels = [{ id: "edit", title: "Edit", panel: EditPanel }];
