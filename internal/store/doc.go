// Package store keeps the durable state: one set of tables, one set of migrations and one way to ask, on an embedded
// SQLite file or on PostgreSQL.
//
//	st, err := store.Open(ctx, "sqlite:/var/lib/rebuilder/rebuilder.db", log)
//	err = st.Tx(ctx, func(ctx context.Context, q store.Querier) error {
//		if err := store.SavePlan(ctx, q, p); err != nil {
//			return err
//		}
//		return store.Audit(ctx, q, store.Event{Actor: "ada", Kind: store.Human, Action: "plan", Object: p.ID})
//	})
//
// The functions that read and write domain rows take a Querier, so the same function serves a page (Store.Q), a
// transaction (Store.Tx) and a workflow's transaction, where it commits together with the workflow's checkpoint
// (durable.Transaction).
//
// # Rules for SQL that runs on both
//
// Keys are TEXT, times are BIGINT epoch milliseconds UTC with 0 for "not yet", JSON is TEXT; nothing is NULL.
// ON CONFLICT, RETURNING, partial indexes and recursive CTEs are fine. Parameters are $1..$n. Not used: serial keys,
// arrays, JSON operators, FOR UPDATE, now(), ILIKE. SQLite compares text by bytes and PostgreSQL by its collation, so
// an order that a reader sees is made in Go or comes from keys of digits and lower-case letters.
//
// Counting beats looking: two parents that finish together must both run
// UPDATE .. SET waiting = waiting-1 .. RETURNING waiting, since under READ COMMITTED each sees the other as unfinished.
// Rows are touched in a fixed order (sorted by key), or two transactions deadlock on PostgreSQL.
package store
