/** Entry point of the studio's worker. */
import { type Port, expose } from "./protocol";
import { Studio } from "./studio";

expose(new Studio(), globalThis as unknown as Port);
