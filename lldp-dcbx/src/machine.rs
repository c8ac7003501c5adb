//! State machines as data: states, the actions on entering them, and guarded exits.
//!
//! The tables of `lldp::tables` and `dcbx::dialect` are run *and* drawn by this room, so the committed
//! diagram can't differ from the code. What a guard or an action means is the interpreter's affair and
//! stays out of here.

use alloc::string::String;
use core::fmt::Write;

/// A name shown in diagrams.
pub trait Label {
    /// The name, as the standard writes it where there is one.
    fn label(self) -> &'static str;
}

/// Declares an enum whose variants are labels.
macro_rules! labelled {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident => $label:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(clippy::doc_markdown, reason = "labels are the standard's own spelling")]
        pub enum $name { $(#[doc = $label] $(#[$vmeta])* $variant),+ }
        impl Label for $name {
            fn label(self) -> &'static str {
                match self { $(Self::$variant => $label),+ }
            }
        }
    };
}
pub(crate) use labelled;

/// One state.
pub struct Row<S: 'static, G: 'static, A: 'static> {
    /// The state.
    pub state: S,
    /// Done once on entering it, in this order.
    pub actions: &'static [A],
    /// Ways out, the first that holds is taken; the guard `None` always holds (802.1's UCT).
    pub exits: &'static [(Option<G>, S)],
}

/// One state machine.
pub struct Table<S: 'static, G: 'static, A: 'static> {
    /// Title of the diagram.
    pub name: &'static str,
    /// The state in which it begins; whoever makes a machine has it [`Table::enter`] that state.
    pub initial: S,
    /// Transitions from any state, which also hold the machine there while they are true.
    pub global: &'static [(G, S)],
    /// All states.
    pub rows: &'static [Row<S, G, A>],
}

/// Gives guards and actions their meaning.
pub trait Interpreter<G, A> {
    /// Whether the guard is true now.
    fn holds(&self, guard: G) -> bool;
    /// Carries out the action.
    fn perform(&mut self, action: A);
}

/// More transitions than any table here can take without an input; a bound, not a behaviour.
const MAX_STEPS: usize = 32;

impl<S, G, A> Table<S, G, A>
where
    S: Copy + Eq + Label,
    G: Copy + Label,
    A: Copy + Label,
{
    /// Takes transitions from `state` until none is possible.
    pub fn run(&self, state: &mut S, ctx: &mut impl Interpreter<G, A>) {
        for _ in 0..MAX_STEPS {
            let Some(next) = self.next(*state, ctx) else { return };
            self.enter(next, state, ctx);
        }
    }

    /// Puts the machine into `next` and runs its actions.
    pub fn enter(&self, next: S, state: &mut S, ctx: &mut impl Interpreter<G, A>) {
        *state = next;
        if let Some(row) = self.row(next) {
            for action in row.actions {
                ctx.perform(*action);
            }
        }
    }

    fn row(&self, state: S) -> Option<&Row<S, G, A>> {
        self.rows.iter().find(|r| r.state == state)
    }

    fn next(&self, state: S, ctx: &impl Interpreter<G, A>) -> Option<S> {
        if let Some((_, to)) = self.global.iter().find(|(g, _)| ctx.holds(*g)) {
            return (*to != state).then_some(*to);
        }
        let exits = self.row(state)?.exits;
        exits.iter().find(|(g, _)| g.is_none_or(|g| ctx.holds(g))).map(|(_, to)| *to)
    }

    /// The machine as a Mermaid state diagram (a fenced block).
    pub fn mermaid(&self) -> String {
        let mut out = String::new();
        let name = Label::label;
        // Writing to a String can't fail.
        let _ = writeln!(out, "```mermaid\nstateDiagram-v2\n    [*] --> {}", name(self.initial));
        for (guard, to) in self.global {
            let _ = writeln!(out, "    [*] --> {}: {} (from any state)", name(*to), guard.label());
        }
        for row in self.rows {
            for action in row.actions {
                let _ = writeln!(out, "    {}: {}", name(row.state), action.label());
            }
        }
        for row in self.rows {
            for (guard, to) in row.exits {
                let guard = guard.map_or("always", Label::label);
                let _ = writeln!(out, "    {} --> {}: {guard}", name(row.state), name(*to));
            }
        }
        out.push_str("```\n");
        out
    }
}
