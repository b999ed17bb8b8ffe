/** The worker's side of the studio. */
import { type Port, expose } from "./protocol";
import { Studio } from "./studio";

expose(new Studio(), globalThis as unknown as Port);
