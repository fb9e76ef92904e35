import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import App from "./app/App";
import { keptTheme, showTheme } from "./app/theme";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/shell.css";
import "./styles/pages.css";

showTheme(keptTheme());
createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
