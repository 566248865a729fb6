// Package line has all replicas write to a forge one after the other, and no faster than its limits allow. It implements
// notify.Line on the store's tables.
//
// Who writes is an installation of an App, or the user of a token: that is whom GitHub counts. It grants 80
// content-creating requests a minute and 500 an hour, answers a minute of silence to who writes in parallel, and a ban to
// who goes on all the same. So each installation has a line:
//
//	begun first            what a kill left half done is ended before anything else is begun
//	then the urgent        they go first, and a twentieth of each hour's writes is theirs alone
//	then by rollout        the one that started first
//
// Why tables and not a queue of the workflow engine: a queue is first in, first out, limits starts and not writes, and
// says nobody's place. Here whoever waits knows its place, until when and why; a write is counted in the transaction that
// grants it, so that a restart does not forget it; and who is killed in its turn gets it again.
package line
