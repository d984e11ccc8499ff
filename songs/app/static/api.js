// What the page asks of the server. The token comes with the page's address and goes along with every request.

const token = new URLSearchParams(location.search).get("token") ?? "";

async function ask(method, path, body, headers = {}) {
  let answer;
  try {
    answer = await fetch(path, { method, body, headers: { "x-token": token, ...headers } });
  } catch {
    throw new Error("the program does not answer: was it ended?");
  }
  if (answer.ok) return answer;
  const text = await answer.text();
  let said = text;
  try { said = JSON.parse(text).error; } catch { /* plain text */ }
  throw new Error(said || `the program answers ${answer.status}`);
}

const query = (values) => new URLSearchParams(values).toString();

export const edit = (said) => ask("POST", "/api/edit", JSON.stringify(said));
export const run = (said) => ask("POST", "/api/run", JSON.stringify(said));
export const demo = () => ask("POST", "/api/demo");
export const putSong = (file) => ask("PUT", `/api/song?${query({ name: file.name })}`, file);
export const putClip = (stem, role, file) => ask("PUT", `/api/clip?${query({ stem, role, name: file.name })}`, file);
export const putSession = (text) => ask("PUT", "/api/session", text);
export const bars = async () => (await ask("GET", "/api/bars")).json();
export const peaks = async (track) => new Int8Array(await (await ask("GET", `/api/peaks/${track}`)).arrayBuffer());
export const tile = async (track, level, index) =>
  new Uint8Array(await (await ask("GET", `/api/tile/${track}/${level}/${index}`)).arrayBuffer());

/** Samples of a track, frames `from` to `to`, one array per channel. */
export async function samples(track, from, to, channels) {
  const range = `bytes=${from * channels * 4}-${to * channels * 4 - 1}`;
  const answer = await ask("GET", `/api/audio/${track}`, undefined, { range });
  const flat = new Float32Array(await answer.arrayBuffer());
  return Array.from({ length: channels }, (_, channel) => {
    const one = new Float32Array(flat.length / channels);
    for (let frame = 0; frame < one.length; frame++) one[frame] = flat[frame * channels + channel];
    return one;
  });
}

/** Have the browser save a file that the server makes, however large it is. */
export function download(path, values = {}) {
  const link = document.createElement("a");
  link.href = `${path}?${query({ ...values, token })}`;
  link.download = "";
  link.click();
}

/** Call `hear` with every new state, `lost` while the server does not answer. */
export function listen(hear, lost) {
  const events = new EventSource(`/api/events?${query({ token })}`);
  events.onmessage = (event) => hear(JSON.parse(event.data));
  events.onerror = () => {
    lost();
    if (events.readyState === EventSource.CLOSED) setTimeout(() => listen(hear, lost), 3000);
  };
}
