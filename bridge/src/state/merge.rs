//! One answer from what several workers tell. Each was asked between two of its own turns, so figures of one port belong
//! to one moment and those of two may not; when nothing moves, the books balance.

use super::{Buffer, Count, Drop, FdbSummary, Port, Snapshot, Worker};

impl Snapshot {
    /// The workers, one by one.
    pub fn each_worker(&self) -> &[Worker] {
        if self.workers.is_empty() { std::slice::from_ref(&self.worker) } else { &self.workers }
    }

    /// Puts together what the workers of a switch tell, at least one; `owner` says whose a port is, by its place.
    pub fn merged(parts: Vec<Snapshot>, owner: impl Fn(usize) -> usize) -> Snapshot {
        let workers: Vec<Worker> = parts.iter().map(|part| part.worker.clone()).collect();
        let mut merged = Snapshot {
            name: parts.first().map(|part| part.name.clone()).unwrap_or_default(),
            worker: Worker::together(&workers),
            workers: if workers.len() > 1 { workers } else { Vec::new() },
            ..Snapshot::default()
        };
        let mut columns: Vec<_> = Vec::new();
        for part in parts {
            merged.uptime_ns = merged.uptime_ns.max(part.uptime_ns);
            merged.buffer.add(&part.buffer);
            merged.fdb.add(&part.fdb);
            columns.push(part.ports.into_iter());
        }
        let ports = columns.iter().map(ExactSizeIterator::len).max().unwrap_or(0);
        for place in 0..ports {
            let mut told: Vec<Port> = columns.iter_mut().filter_map(Iterator::next).collect();
            let mut port = told.swap_remove(owner(place).min(told.len() - 1));
            for other in &told {
                port.add_told(other);
            }
            port.queued.add(port.handed.beyond(port.taken));
            merged.ports.push(port);
        }
        merged
    }
}

impl Port {
    /// What a worker has counted that does not own the port: copies that it could not hand to its owner.
    fn add_told(&mut self, other: &Port) {
        self.handed.add(other.handed);
        for drop in &other.tx_drops {
            match self.tx_drops.iter_mut().find(|known| known.reason == drop.reason) {
                Some(known) => known.count.add(drop.count),
                None => self.tx_drops.push(Drop::clone(drop)),
            }
        }
        for (priority, other) in self.priorities.iter_mut().zip(&other.priorities) {
            priority.dropped.add(other.dropped);
        }
    }
}

impl Count {
    /// What of it is more than another, which was counted at another moment.
    fn beyond(self, other: Count) -> Count {
        Count {
            units: self.units.saturating_sub(other.units),
            frames: self.frames.saturating_sub(other.frames),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

impl Buffer {
    /// Another share of it. The peaks of shares may be of different moments: the sum is the most that it can have been.
    fn add(&mut self, other: &Buffer) {
        self.size_bytes += other.size_bytes;
        self.used_bytes += other.used_bytes;
        self.peak_bytes += other.peak_bytes;
    }
}

impl FdbSummary {
    fn add(&mut self, other: &FdbSummary) {
        self.entries += other.entries;
        self.limit = other.limit;
        self.moves += other.moves;
        self.refused += other.refused;
    }
}

impl Worker {
    /// Several workers as if they were one.
    fn together(workers: &[Worker]) -> Worker {
        let Some((first, others)) = workers.split_first() else { return Worker::default() };
        let mut all = first.clone();
        for other in others {
            for (word, told) in [(&mut all.io, &other.io), (&mut all.scheduling, &other.scheduling)] {
                if word != told {
                    "mixed".clone_into(word);
                }
            }
            all.turns += other.turns;
            all.wakeups += other.wakeups;
            all.late_ns += other.late_ns;
            all.cpu_ns += other.cpu_ns;
            all.flow_reaction.iter_mut().zip(&other.flow_reaction).for_each(|(sum, n)| *sum += n);
            all.handed += other.handed;
            all.waited += other.waited;
            all.flow_reaction_sum_ns += other.flow_reaction_sum_ns;
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(frames: u64) -> Count {
        Count { units: frames, frames, bytes: 100 * frames }
    }

    fn drop(reason: &str, frames: u64) -> Drop {
        Drop { reason: reason.to_owned(), meaning: String::new(), count: count(frames) }
    }

    fn part(ports: Vec<Port>, turns: u64) -> Snapshot {
        let worker = Worker { turns, flow_reaction: vec![1, turns], ..Worker::default() };
        Snapshot { ports, worker, ..Snapshot::default() }
    }

    #[test]
    fn a_port_is_told_by_its_owner_and_what_is_between_two_workers_is_queued() {
        let near = part(
            vec![
                Port { up: true, rx: count(9), ..Port::default() },
                Port { handed: count(7), tx_drops: vec![drop("buffer_full", 2)], ..Port::default() },
            ],
            3,
        );
        let far = part(
            vec![
                Port::default(),
                Port {
                    up: true,
                    tx: count(4),
                    queued: count(1),
                    taken: count(5),
                    tx_drops: vec![drop("buffer_full", 1), drop("queue_full", 1)],
                    ..Port::default()
                },
            ],
            4,
        );
        let merged = Snapshot::merged(vec![near, far], |place| place);
        let [first, second] = &merged.ports[..] else { panic!("two ports") };
        assert!(first.up && second.up);
        assert_eq!((first.rx, second.tx, second.queued), (count(9), count(4), count(3)));
        assert_eq!(second.tx_drops, [drop("buffer_full", 3), drop("queue_full", 1)]);
        assert_eq!((merged.worker.turns, merged.worker.flow_reaction), (7, vec![2, 7]));
        assert_eq!(merged.workers.iter().map(|w| w.turns).collect::<Vec<_>>(), [3, 4]);
    }

    #[test]
    fn one_worker_is_told_as_it_is() {
        let merged = Snapshot::merged(vec![part(vec![Port::default(); 3], 5)], |_| 0);
        assert_eq!((merged.ports.len(), merged.worker.turns, merged.workers.len()), (3, 5, 0));
    }
}
