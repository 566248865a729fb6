// Package pace decides who may be told now, and says of everybody else what he waits for, since when, until when and who can
// act. It is pure: what is known of all running rollouts and the time of now go in, a Decision comes out. The same values
// always give the same decision, so that it makes no difference which replica asks, how often, or after which restart.
//
// Those who are told of one change are told in waves: canaries, then steps of a percentage. A wave opens when the one before
// it has come to its end, and has soaked. A failure budget halts the rollout. Windows in which nothing is told, and limits
// over the whole fleet, hold single applications. What is critical waits for no wave, no soak and no window, but for the
// limits like everybody else; of those a part is kept for it, and a part for the others.
package pace
