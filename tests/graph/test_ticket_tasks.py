from __future__ import annotations

import math

import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch_geometric.data import Data
from torch_geometric.nn import GCN, GCNConv

import graph
from graph.l0_projection import project_l0_
from graph.ticket_edges import degree_scores, sparsify_graphs
from graph.ticket_measures import count_macs, inference_seconds, step_bytes
from graph.ticket_tasks import LinkTask, NodeTask
from graph.ticket_training import Optimization, train_network


def test_divergence_is_that_of_the_definition():
    torch.manual_seed(0)
    teacher, student = torch.randn(5, 3), torch.randn(5, 3)
    p, q = teacher.softmax(-1), student.softmax(-1)
    expected = sum(float(p[v, c] * (p[v, c] / q[v, c]).log()) for v in range(5) for c in range(3)) / 5
    assert float(NodeTask().divergence(teacher, student)) == pytest.approx(expected)
    t, s = teacher[:, 0], student[:, 0]
    p, q = t.sigmoid(), s.sigmoid()
    expected = float((p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).mean())
    assert float(LinkTask().divergence(t, s)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_auc_beside_scikit_learn(seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randint(0, 5, (30,), generator=generator).float()
    graph = Data(edge_label=torch.arange(30) % 2)
    assert LinkTask().score(logits, graph, "val") == pytest.approx(roc_auc_score(graph.edge_label, logits))


def test_loss_and_score_know_labelled_nodes_alone():
    graph = Data(
        y=torch.tensor([0, 1, -1, 1]),
        train_mask=torch.tensor([True, False, True, False]),
        val_mask=torch.tensor([False, True, False, True]),
    )
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [5.0, 0.0], [1.0, 0.0]])
    # -log softmax([2, 0])[0]; node 2 trains and is not labelled
    assert float(NodeTask().loss(logits, graph)) == pytest.approx(math.log(1 + math.exp(-2)))
    assert NodeTask().score(logits, graph, "val") == 0.5


def test_links_are_checked(communities):
    for data in ((communities,) * 3, [communities, communities]):
        with pytest.raises(ValueError, match="`data` must"):
            LinkTask().graphs(data)


def test_macs_of_gcn_by_hand(communities):
    model = GCN(8, 5, 2, out_channels=2)
    n_messages = communities.num_edges + 40  # with the self-loop of every node
    dense = 40 * (8 * 5 + 5 * 2) + n_messages * (5 + 2)
    assert count_macs(model, NodeTask(), communities) == dense
    with torch.no_grad():
        model.convs[0].lin.weight[0] = 0
    assert count_macs(model, NodeTask(), communities) == dense - 40 * 8
    assert inference_seconds(model, NodeTask(), communities) > 0
    assert not any(conv._message_forward_hooks for conv in model.convs)


def test_bytes_of_a_step():
    x, edges = torch.randn(50, 6), torch.arange(100).remainder(50).reshape(2, 50)
    graph = Data(x=x, edge_index=edges, y=torch.zeros(50, dtype=torch.int64), train_mask=x[:, 0] < 99)

    class Linear(torch.nn.Module):
        def __init__(self, width):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.randn(6, width))

        def forward(self, x, _):
            return (x @ self.weight).exp()

    small, large = (step_bytes(Linear(width), NodeTask(), graph) for width in (10, 20))
    # exp keeps its result, the choice of rows and log_softmax keep one of the same size.
    per_column = (large - small) / 10
    assert per_column / (50 * 4) in (2, 3)


def test_best_epoch_is_the_last_of_equals(communities):
    task, optimization = NodeTask(), Optimization(6, 0.01, 0.0, 0)
    seen = []

    class Scripted(NodeTask):
        def score(self, logits, graph, split):
            seen.append(None)
            return [0.1, 0.5, 0.3, 0.5, 0.2, 0.4][len(seen) - 1]

    start = GCN(8, 4, 1, out_channels=2)
    graphs = task.graphs(communities)
    trained = train_network(start, Scripted(), graphs, optimization)
    assert (trained.epoch, trained.val_score) == (3, 0.5)
    last = train_network(start, Rising(), graphs, Optimization(4, 0.01, 0.0, 0))
    assert last.epoch == 3
    for one, other in zip(trained.model.parameters(), last.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert not trained.model.training


class Rising(NodeTask):
    def score(self, logits, graph, split):
        return 1.0


def test_the_constraint_holds_after_every_step_and_the_support_changes(communities):
    supports = []

    def project(model):
        supports.append(torch.cat([mask.flatten() for mask in project_l0_(model.parameters(), 0.6)]))
        assert sum(int(weight.count_nonzero()) for weight in model.parameters()) <= supports[-1].sum()

    graphs = NodeTask().graphs(communities)
    train_network(
        GCN(8, 8, 2, out_channels=2), NodeTask(), graphs, Optimization(15, 0.05, 0.0, 0), constrain=project
    )
    assert len(supports) == 16
    assert any(not torch.equal(supports[0], support) for support in supports)


def test_auto_trains_on_both_graphs_where_they_harm_alike(communities):
    task, lengths = NodeTask(), set()
    graphs = task.graphs(communities)
    for seed in range(6):
        torch.manual_seed(seed)
        model = GCN(8, 8, 2, out_channels=2).eval()
        whole = model(communities.x, communities.edge_index).detach()
        for ratio in (0.2, 0.4, 0.6, 0.8):
            harms = {}
            for score in ("inverse_degree", "teddy"):
                edges = sparsify_graphs(graphs, ratio, score=score)[0].val.edge_index
                logits = model(communities.x, edges).detach()
                kl = whole.softmax(1) * (whole.log_softmax(1) - logits.log_softmax(1))
                harms[score] = float(kl.sum())
            order = sorted(harms, key=harms.__getitem__)
            expected = [score for score in order if harms[score] <= 1.1 * harms[order[0]]]
            assert degree_scores(model, task, graphs, ratio, guard=None, seed=0) == expected
            lengths.add(len(expected))
    assert lengths == {1, 2}


def test_auto_reads_no_label(communities):
    task = NodeTask()
    graphs = task.graphs(communities)
    model = GCN(8, 8, 2, out_channels=2)
    communities.y = 1 - communities.y
    others = task.graphs(communities)
    for ratio in (0.0, 0.2, 0.5, 0.8):
        chosen = degree_scores(model, task, graphs, ratio, guard=None, seed=0)
        assert chosen == degree_scores(model, task, others, ratio, guard=None, seed=0)
        assert 1 <= len(chosen) <= 2
    assert degree_scores(model, task, graphs, 0.0, guard=None, seed=0) == ["inverse_degree", "teddy"]


def test_links_agree_where_their_signs_do():
    one, other = torch.tensor([1.0, -2.0, 0.5, 3.0]), torch.tensor([2.0, 1.0, 0.1, -1.0])
    assert LinkTask().agreement(one, other) == 0.5


def test_sparse_graphs_are_shared_where_they_were(communities):
    graphs = NodeTask().graphs(communities)
    sparse, _ = sparsify_graphs(graphs, 0.5, score="teddy")
    assert sparse.train is sparse.val
    assert sparse.val is sparse.test
    assert isinstance(GCNConv(8, 2)(sparse.test.x, sparse.test.edge_index), torch.Tensor)


def test_a_network_that_does_not_take_the_data_is_refused_before_training():
    edges = torch.tensor([[0, 1], [1, 0]])
    data = Data(x=torch.eye(2), edge_index=edges, y=torch.tensor([0, 1]))
    data.train_mask = data.val_mask = data.test_mask = torch.ones(2, dtype=torch.bool)
    fitting, wide = GCN(2, 2, 1), GCN(3, 2, 1)

    def fit(model=fitting, data=data, **settings):
        return graph.DropEdgeTicket(model, epochs=1, **settings).fit(data)

    table = [
        (lambda: fit(3), TypeError, "`model` must be a torch.nn.Module"),
        (lambda: fit(wide), ValueError, "`data` must be what `model` takes; got mat1 and mat2"),
        (lambda: fit(forward=3), TypeError, "`forward` must be callable; got 3"),
        (lambda: fit(forward=len), TypeError, "`forward` must be a function of network and graph"),
        (lambda: fit(forward=lambda *_: 3), TypeError, "`outputs of `forward`` must be of type Tensor"),
        (lambda: fit(data=3), TypeError, "`data` must be of type Data"),
        (lambda: fit(data=[data, data, 3], task="link"), ValueError, "`data` must have `edge_label`"),
        (lambda: fit(data=[3, 3, 3], task="link"), TypeError, "`data` must be of type Data"),
        (
            lambda: fit(data=data.clone().update({"x": torch.tensor(1.0)})),
            ValueError,
            "`data.x` must have a row",
        ),
        (lambda: graph.DropEdgeTicket(fitting).sweep(data, 3), TypeError, "`levels` must be a list"),
        (
            lambda: graph.DropEdgeTicket(fitting).sweep(data, [1], [0.5]),
            TypeError,
            "`seeds` must be an integer",
        ),
        (
            lambda: graph.SparsifyEdges(0.5)(Data(edge_index=edges.numpy())),
            TypeError,
            "`data.edge_index` must",
        ),
    ]
    for call, error, message in table:
        with pytest.raises(error, match=message):
            call()


def test_a_ticket_is_saved_whole_or_not_at_all(tmp_path, monkeypatch):
    search = graph.DropEdgeTicket(GCN(2, 2, 1))
    search.model_, search.weight_mask_, search.edge_mask_ = torch.nn.Linear(1, 1), {}, None
    search.graph_ = Data(edge_index=torch.tensor([[0], [1]]), num_nodes=2)
    search.save(tmp_path / "ticket.pt")
    earlier = (tmp_path / "ticket.pt").read_bytes()
    monkeypatch.setattr(torch, "save", full_disk)
    for path, error in (
        (tmp_path / "ticket.pt", OSError),
        (tmp_path / "no" / "t", OSError),
        (tmp_path, ValueError),
        (3, TypeError),
    ):
        with pytest.raises(error):
            search.save(path)
    assert [file.name for file in tmp_path.iterdir()] == ["ticket.pt"]
    assert (tmp_path / "ticket.pt").read_bytes() == earlier


def full_disk(content, stream):
    stream.write(b"part")
    raise OSError("No space left on device")
