// The three kinds of evidence: told apart by colour (Okabe-Ito, safe for colour-blind people), sign and words.

export const ROLES = [
  { id: "alone", key: "1", sign: "●", label: "plays alone", colour: "#56b4e9", fill: "rgba(86, 180, 233, 0.30)" },
  { id: "among", key: "2", sign: "◐", label: "plays here", colour: "#f0e442", fill: "rgba(240, 228, 66, 0.24)" },
  { id: "absent", key: "3", sign: "✕", label: "does not play here", colour: "#ff8a5c", fill: "rgba(255, 138, 92, 0.30)" },
];
export const role = (id) => ROLES.find((one) => one.id === id);
