/** Rules on what processes do, each with its attack, ways round it, and what goes on as ever. */
import { CAPABILITIES } from './deeds/capabilities.ts';
import { describeDeeds } from './deeds/deeds.ts';
import { FACILITIES } from './deeds/facilities.ts';
import { MOUNTS } from './deeds/mounts.ts';
import { OTHER_MEANS } from './deeds/other-means.ts';
import { OTHERS } from './deeds/others.ts';
import { SOCKETS } from './deeds/sockets.ts';

describeDeeds([CAPABILITIES, FACILITIES, MOUNTS, OTHERS, SOCKETS, OTHER_MEANS]);
