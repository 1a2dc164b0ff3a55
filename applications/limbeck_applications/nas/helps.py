"""What ``limbeck nas COMMAND --help`` says below the options: examples, and what there is to know."""

from __future__ import annotations

COMPONENTS = """\b
Options of a component follow its name: distilled:method=dm,ipc=10 or eeea:population=10,most_parameters=50000;
with a dot, options within options: distilled:method=dm,settings.optimiser.lr_img=1.
  limbeck list nas_proxies        limbeck show nas_proxy distilled
  limbeck list nas_spaces         limbeck show nas_space chains
  limbeck list nas_searchers      limbeck show nas_searcher eeea
"""

RANK = f"""\b
Examples:
  limbeck nas rank --proxy distilled:method=dm,ipc=2,epochs=20 --proxy parameters --sample 12
      twelve networks on the built-in digits: a minute on a CPU
  limbeck nas rank --data fashion_mnist --images 10000 --validation 5000 \\
      --proxy distilled:method=dm --proxy random,early_stopping,parameters,synflow --out runs/rank
      all 72 networks against the table that comes with Limbeck; Ctrl-C and the same line again continue it
  limbeck nas rank --space nb201 --truth nb201.csv --sample 200 --data cifar10 --proxy nwot --proxy flops
      a benchmark's own table: columns architecture, test and, if there are, seed, validation, seconds

\b
Proxies are scored on training images and on images kept aside from them (--validation); test images are never
looked at. What full training reaches stands in a table of truth, against which rankings are held at the end:
the one that comes with Limbeck, --truth FILE, or none. 'limbeck nas truth' makes one.

{COMPONENTS}"""

SEARCH = f"""\b
Examples:
  limbeck nas search --searcher random --evaluations 8 --proxy distilled:method=dm,ipc=2,epochs=20
      eight of the 72 networks, on the built-in digits
  limbeck nas search --space cells:channels=8 --searcher eeea:population=10 --searcher random \\
      --proxy distilled:method=dm,epochs=30 --data fashion_mnist --evaluations 40 --seeds 3 --out runs/cells
      two searchers at equal evaluations; Ctrl-C and the same line again continue it
  limbeck nas search --space chains --searcher eas --searcher random --data cifar10 --retrain 3
      the three best of each search are trained in full

\b
Each search may score --evaluations architectures by the one proxy. Scores, weights and what the proxy makes are
kept in OUT and shared by all searches: --seeds vary the searcher only, the proxy is always that of seed 0. The best
are trained on all training images but those kept aside (--retrain, --validation) and only then tested.

{COMPONENTS}"""

TRUTH = """\b
Examples:
  limbeck nas truth --sample 6 --epochs 1 --seeds 1
      six networks on the built-in digits
  limbeck nas truth --space convnet72 --data fashion_mnist --images 10000 --validation 5000 --epochs 5 --seeds 2 \\
      --out runs/truth
      the table that comes with Limbeck: half an hour on a CPU; Ctrl-C and the same line again continue it

\b
The table is OUT/truth.csv; give it to 'limbeck nas rank --truth'. A network that is trained is never trained again:
the same line, or 'limbeck nas truth --resume OUT', goes on, and the same line with more --seeds or another --sample
adds what is missing; lines of the table stay, also where fewer seeds or architectures are asked for. Another space,
other images or training need another OUT. --set training.lr=0.02 and the like change how networks are trained:
epochs, lr, momentum, weight_decay, batch_size, schedule, augmentation.
"""
