"""What the demo's news site writes about: 12 categories, 4 topics each, 7 subjects and 8 headlines a topic.

`= category` opens a category and `- topic:` a topic with its subjects; behind ` | ` stand its headlines, divided by
` / `, with `{}` where the subject goes. The words are ordinary ones, so that a pretrained language model knows what
belongs together; clubs, players and races are invented.
"""

TOPICS = """
= sports
- football: Northgate United, Harbour City, Millbrook Rovers, Eastfield Athletic, Castle Albion, Redbridge Town,
Kingsport | {} sign teenage striker on a four-year deal / Late header sends {} into the cup semi-final / {} sack their
manager after sixth defeat in a row / Goalless draw leaves {} fans booing at the final whistle / Knee injury rules the
captain of {} out for the season / Goalkeeper saves two penalties as {} win the derby / Supporters of {} plan a march
over ticket prices / Transfer window: three defenders {} should buy
- tennis: Elena Marchetti, Tomas Lindqvist, Aiko Tanabe, Marcus Oyelaran, Sofia Brandt, Petr Havlik, Camille Roux | {}
saves three match points to reach the quarter-finals / {} pulls out of the clay season with a wrist injury / How a new
coach rebuilt {}'s serve / {} wins first grass-court title in straight sets / Smashed racket costs {} a fine and the
second set / {} and the vanishing art of the one-handed backhand / Wild card {} stuns the top seed under floodlights /
Rain pushes {}'s final to Monday
- cycling: Alpine Tour, Coastal Classic, Tour of the Lakes, Cobblestone Sunday, Highland Loop, Valley Criterium, Tour
of Spires | Breakaway survives on the final climb of the {} / Crash in the peloton ends the {} for two favourites / {}
adds a gravel sector to next year's route / Sprinter takes his third stage win of the {} / Where to watch the {} from
the roadside / Doping inspectors search team buses at the {} / Time trial specialist pulls on the leader's jersey in
the {} / Crosswinds tear the peloton apart in the {}
- basketball: Bay Comets, River Foxes, Capital Stags, Desert Owls, Summit Bears, Harbor Storm, Prairie Wolves |
Buzzer-beater lifts the {} over the league leaders / {} trade their point guard for two draft picks / Rookie scores 41
points in overtime for the {} / {} blow a 20-point lead in the fourth quarter / Ankle sprain sidelines the {} center
for a month / Three-pointers rain as the {} clinch a playoff spot / {} retire the jersey of their greatest shooter /
Inside the defence that made the {} contenders
= politics
- elections: mayoral race, senate race, governor's race, presidential primary, city council election, party leadership
contest, regional election | Late polls tighten in the {} / Turnout breaks a record in the {} / Debate clash over
crime shakes up the {} / What undecided voters want from the {} / Recount ordered in the {} after a margin of 40 votes
/ Young candidates change the tone of the {} / Attack adverts flood television before the {} / Postal ballots could
decide the {}
- diplomacy: trade pact, peace talks, climate treaty, ceasefire, border accord, fisheries agreement, nuclear deal |
Ministers fly in for a last round on the {} / Summit ends without a signature on the {} / Leaked draft on the {}
angers allies / Ambassador recalled in dispute over the {} / Five sticking points that still block the {} / Parliament
votes to back the {} / Foreign minister calls the {} a historic step / Neutral host keeps hopes for the {} alive
- courts: bribery trial, art theft trial, tax fraud trial, arson trial, blackmail trial, kidnapping trial, perjury
trial | Jury retires to consider its verdict in the {} / Surprise witness takes the stand in the {} / Judge throws out
key evidence in the {} / Defence lawyers call for the {} to be halted / Prosecutors play secret recordings at the {} /
Guilty verdict ends the {} after nine weeks / Appeal court reopens the {} / Who is who in the {}
- taxes: income tax, property tax, fuel duty, sales tax, inheritance tax, sugar tax, carbon tax | Treasury plans to
raise {} next spring / What the new {} rules mean for families / Opposition vows to reverse the rise in {} /
Economists argue over a cut in {} / Loophole in {} costs the state millions / Budget leak: finance minister may freeze
{} / Small firms say {} is driving them under / A simple guide to how {} works
= business
- retail: supermarkets, department stores, discount shops, online grocers, fashion chains, bookshops, furniture stores
| {} report their best Christmas in a decade / {} close hundreds of branches as shoppers stay away / Why {} are
raising prices again / Self-service tills divide the customers of {} / Warehouse strike empties the shelves of {} /
How {} use loyalty cards to learn what you buy / Rising rents force {} out of the high street / Queues outside {} as
the January sales begin
- markets: bank shares, oil stocks, technology stocks, mining shares, pharmaceutical stocks, airline shares, chipmaker
shares | {} tumble as investors fear higher interest rates / {} rally on strong quarterly earnings / Fund managers
turn away from {} / Analysts see bargains among {} / Short sellers take aim at {} / Volatile week for {} on the stock
exchange / Why small investors keep buying {} / Dividend hopes push {} to a five-year high
- work: remote work, four-day week, night shifts, unpaid overtime, endless meetings, job interviews, pay talks |
Survey: what employees really think of {} / Bosses and staff clash over {} / How to get through {} without burning out
/ Court ruling on {} could change your contract / Unions put {} at the top of their demands / A recruiter's advice on
{} / How other countries deal with {} / My year of {}: an office diary
- housing: house prices, city rents, mortgage rates, flat prices, holiday home prices, land prices, student rents | {}
climb for the tenth month running / {} dip as buyers wait for spring / Where {} have doubled in ten years / Estate
agents expect {} to level off / Map: how {} compare in your district / Tenants and owners protest against {} / Central
bank warns of a bubble in {} / How young couples cope with {}
= technology
- gadgets: folding phones, smart watches, wireless earbuds, tablets, e-readers, fitness trackers, smart speakers |
Review: the best {} you can buy this year / Battery fires prompt a recall of {} / Cheap {} that beat the premium
brands / Are {} worth the upgrade? / We dropped ten {} to see which ones break / Repair shops fight for spare parts
for {} / Leaked photos show the next generation of {} / Five hidden settings in {} you should try
- artificial intelligence: chatbots, translation apps, face recognition, voice assistants, image generators, coding
assistants, recommender systems | Regulators draw up rules for {} / Start-up raises millions to train better {} /
Researchers find hidden bias in {} / What goes on inside the neural networks of {} / Schools debate whether to allow
{} / Workers fear that {} will take their jobs / Open-source {} catch up with the giants / Experts test how easily {}
can be fooled
- cybersecurity: phishing emails, ransomware, password leaks, banking trojans, scam calls, spyware, fake web shops |
Police warn of a new wave of {} / How hackers make millions with {} / Seven ways to protect yourself from {} /
Hospital computers down after attack blamed on {} / Pensioner lost her savings to {} / Security firm traces {} to a
teenage gang / Banks told to pay back victims of {} / Inside the team that hunts {}
- video games: puzzle games, racing games, farming simulators, role-playing games, strategy games, horror games,
platform games | The ten {} we cannot stop playing / Indie studio reinvents {} with hand-drawn art / Classic {} return
on new consoles / Why {} are good for tired brains / Speedrunners break records in {} / Players complain about loot
boxes in {} / Composer tells how music for {} is made / Beginner's tips for {}
= science
- space: Mars rover, lunar lander, space telescope, asteroid probe, Jupiter orbiter, space station, solar sail | {}
sends back its sharpest images yet / Engineers race to save the {} after a computer fault / Rocket launch puts the {}
on its way / {} finds hints of frozen water / Budget cuts threaten the {} mission / Dust storm forces the {} to sleep
/ How a student experiment got aboard the {} / Astronomers puzzled by strange signal from the {}
- wildlife: humpback whales, snow leopards, honey bees, emperor penguins, forest elephants, sea turtles, grey wolves |
Count shows numbers of {} are recovering / Drone footage reveals how {} raise their young / Biologists decode the
calls of {} / Poachers threaten the last {} of the region / Warmer seasons confuse {} on migration / DNA study
rewrites the family tree of {} / Night cameras catch rare sight of {} / How villagers learned to live with {}
- archaeology: Roman villa, Viking ship, Bronze Age tomb, Egyptian temple, medieval castle, Mayan pyramid, Stone Age
cave | Farmer's plough uncovers a {} / Treasure found beneath the floor of a {} / Laser scan reveals hidden chambers
in a {} / Archaeologists date the {} to an earlier age / Paintings in a {} puzzle historians / Museum opens replica of
the {} / Looters damage a newly discovered {} / Bones from the {} tell of an ancient plague
- psychology: memory, dreaming, anxiety, attention, jealousy, loneliness, laughter | Why {} changes as we grow older /
Brain scans show where {} begins / Psychologists explain the purpose of {} / Experiment with students sheds new light
on {} / What apes can teach us about {} / Twin study asks whether {} is inherited / The surprising link between {} and
sleep / A short history of the science of {}
= health
- nutrition: green tea, olive oil, dark chocolate, oat milk, red wine, turmeric, fermented cabbage | Is {} really good
for your heart? / Dietitians explain how much {} is healthy / Study of 9,000 adults questions benefits of {} / {} and
cholesterol: what we know / What happens to your body when you have {} every day / The truth about the vitamins in {}
/ Does {} help you lose weight? / Nutrition myths about {}, debunked
- fitness: yoga, jogging, swimming, weight training, pilates, Nordic walking, rowing | Ten minutes of {} a day may be
enough / How {} eases back pain / Starting {} after fifty / Trainers name the most common mistakes in {} / {} for
people who hate exercise / Does {} burn more calories in the morning? / A six-week plan to get fit with {} / What {}
does for your muscles and mood
- illness: influenza, measles, malaria, asthma, diabetes, migraine, hay fever | Doctors report a sharp rise in {}
cases / New drug brings hope for people with {} / Early signs of {} you should not ignore / Gene explains why some
people get {} / Life with {}: a patient's story / Clinical trial of {} treatment stopped early / Pharmacies run short
of {} medicine / Could a simple blood test detect {}?
- hospitals: emergency wards, maternity wards, children's hospitals, village clinics, ambulance crews, psychiatric
clinics, cancer units | {} struggle with a shortage of nurses / A night shift with {} / Waiting times at {} reach a
new high / Health minister promises extra money for {} / Doctors at {} vote to strike / Report praises care at {} /
Volunteers who keep {} running / Closure of {} leaves patients travelling for hours
= food
- baking: sourdough bread, apple pie, banana bread, carrot cake, cheesecake, gingerbread, lemon tart | How to bake {}
that never fails / The one mistake that ruins {} / A pastry chef's secret for better {} / Gluten-free {} that tastes
like the real thing / We tried six recipes for {}: here is the winner / Grandmother's {}, with a modern twist / Why
your {} sinks in the middle / {} for beginners, step by step
- restaurants: sushi bar, taco stand, ramen house, pizzeria, steakhouse, vegan bistro, oyster bar | The tiny {}
everyone is queuing for / Famous chef closes his {} after 30 years / Review: a {} worth the long drive / Health
inspectors shut down a popular {} / A {} wins its first star from the food guide / A family-run {} fights rising rent
/ What to order at the new {} downtown / Waiter's confessions from a busy {}
- dinners: chicken curry, mushroom risotto, lentil soup, baked salmon, beef stew, vegetable lasagne, shrimp pasta | {}
on the table in 30 minutes / One-pot {} for busy weeknights / Five ingredients you need for great {} / How to stretch
{} over two dinners / A lighter recipe for {} / The spice that lifts {} / What to serve with {} / Make-ahead {} for
the freezer
- drinks: espresso, craft beer, sparkling wine, cider, matcha, whisky, kombucha | How to taste {} like an expert /
Small producers shake up the world of {} / The best glasses for {}, according to a barman / Price of {} set to rise
after poor harvest / A beginner's guide to making {} at home / Blind tasting: which {} is worth the money? / The town
that lives on {} / Alcohol, caffeine, sugar: what is really in {}
= travel
- city breaks: Lisbon, Kyoto, Prague, Istanbul, Copenhagen, Marrakesh, Edinburgh | 48 hours in {}: where to eat, sleep
and stroll / The quiet neighbourhoods of {} tourists miss / {} on a budget: a weekend under 200 / Best rooftop views
in {} / {} limits tour buses in the old town / Museums in {} worth a rainy day / New night train makes {} easier to
reach / A local's favourite cafes in {}
- islands: Crete, Bali, Madeira, Zanzibar, Sardinia, Tahiti, Mauritius | The most beautiful beaches of {} / {} with
children: a holiday guide / Snorkelling off the coast of {} / Small hotels by the sea in {} / {} asks visitors to pay
a beach fee / When to go to {} to avoid the crowds / Island hopping by ferry around {} / Storm leaves holidaymakers
stranded on {}
- flying: hand luggage, flight delays, airport security, lost baggage, seat upgrades, jet lag, airline refunds | Cabin
crew share their best tips on {} / New airline rules on {} explained / Travellers fume over {} at the airport / What
frequent flyers know about {} / The worst airports in Europe for {} / Pilot answers your questions about {} / App
promises to take the stress out of {} / Passengers' rights: {} and your money
- hiking: Dolomites, Pyrenees, Rocky Mountains, Scottish Highlands, Andes, Himalayas, Atlas Mountains | A week on foot
through the {} / Mountain huts of the {} worth the climb / Rescuers find missing hikers in the {} / Easy day walks in
the {} / What to pack for trekking in the {} / Autumn colours in the {}, in twelve pictures / Early snow closes trails
in the {} / Long-distance path through the {} opens
= entertainment
- films: superhero film, spy thriller, romantic comedy, ghost movie, animated musical, courtroom drama, war epic | {}
tops the box office for a third week / Director defends the ending of his {} / Review: a {} that forgets its plot /
Critics fall for low-budget {} at the festival / Sequel to hit {} starts filming / Actress on the stunts in her new {}
/ How the costumes of a {} were made / Trailer for the summer's biggest {} divides fans
- music: jazz quartet, punk band, opera soprano, hip-hop duo, folk singer, string orchestra, boy band | {} announces
farewell world tour / New album by {} recorded in one night / {} cancels concerts after voice trouble / Fans camp
outside arena to hear {} / Review: {} dazzles at open-air festival / Lost tapes of a legendary {} found in attic / How
a {} conquered streaming charts / {} sues label over royalties
- television: baking contest, hospital drama, detective series, dating show, quiz show, costume drama, talent show |
Finale of {} draws ten million viewers / {} renewed for another season / Host of {} quits after on-air row / What to
watch tonight: the {} everyone talks about / Contestant or star? Cast of {} revealed / Broadcaster axes {} after poor
ratings / Behind the scenes of the {} / Viewers complain about a shocking episode of {}
- books: crime novel, poetry collection, war memoir, fantasy trilogy, short story collection, graphic novel,
children's book | Debut {} wins major literary prize / Author spent ten years writing her {} / Review: a {} you will
read in one sitting / Publisher withdraws {} over plagiarism claim / {} becomes surprise bestseller / Librarians name
their favourite {} / Rare first edition of {} sold at auction / Translator on the puzzles of a {}
= home
- gardening: tomatoes, roses, tulips, strawberries, succulents, orchids, sunflowers | When to plant {} for the best
display / How to save {} from slugs and frost / Growing {} in pots on a small balcony / Pruning and feeding {}: a
calendar / Why the leaves of your {} turn yellow / Gardeners' tricks for bigger {} / Heirloom {} make a comeback /
Watering {} while you are on holiday
- decorating: kitchen, bathroom, bedroom, living room, hallway, balcony, home office | Small {}, big ideas: a makeover
on a budget / Paint colours that brighten a dark {} / Storage tricks for a cluttered {} / Designers name the {} trends
of the year / How to light your {} / Before and after: a 1970s {} reborn / Second-hand furniture for the {} / Mistakes
to avoid when you renovate a {}
- pets: puppies, kittens, rabbits, parrots, hamsters, goldfish, tortoises | How to choose healthy {} / Vets warn
owners of {} about winter colds / What {} try to tell you / Shelter overflows with abandoned {} / The right food for
{} / Can {} and small children get along? / Toys that keep {} busy all day / Photos: the funniest {} of the week
- parenting: toddlers, teenagers, newborns, twins, schoolchildren, only children, stepchildren | Getting {} to sleep
through the night / Screen time for {}: how much is too much? / Why {} lie, and what parents can do / Fun rainy-day
activities with {} / Fathers on raising {} / Paediatrician answers questions about {} / How to talk with {} about
death / Mealtime battles with {}: a peace plan
= motoring
- electric cars: electric hatchback, electric van, electric pickup, hybrid saloon, electric sports car, electric city
car, hydrogen car | Road test: {} with a 500-kilometre range / Cheapest {} yet goes on sale / {} fails crash test /
How long does the battery of the {} last? / Carmaker recalls {} over brake fault / Winter range of the {}: our
measurements / Charging the {} at home: what it costs / Waiting list for new {} grows to a year
- motorcycles: touring motorcycle, vintage scooter, dirt bike, cafe racer, three-wheeler, sidecar, rental moped |
Around the world on a {} / Restoring a rusty {} in a garden shed / Best helmets for riding a {} / Licence rules for
the {} change in May / Ten mountain passes to ride on a {} / How to insure and park a {} in town / Collectors pay
record sum for {} / Safety course for riders of a {}
- racing: Night Grand Prix, Harbour Grand Prix, Desert Rally, Forest Rally, Mountain Hill Climb, Endurance Day, Street
Cup | Pole position decided by a thousandth at the {} / Pit stop blunder costs driver the {} / Engine failure hands
rival victory in the {} / Stewards investigate collision at the {} / Young driver to make debut at the {} / Tyre
choice decides a wet {} / Team boss furious after the {} / Spectators evacuated as car catches fire at the {}
- traffic: ring road, toll bridge, harbour tunnel, bus lane, motorway junction, level crossing, cycle lane | Work on
the {} to last until autumn / Lorry overturns and blocks the {} / Residents demand a speed limit at the {} / Cameras
catch thousands of drivers on the {} / Council approves plan for a second {} / Commuters lose an hour a day at the {}
/ Cost of the {} doubles / Cyclist hurt in accident on the {}
= environment
- weather: hurricane, blizzard, heatwave, thunderstorm, flood, tornado, cold snap | {} leaves thousands without power
/ Forecasters expect a {} by the weekend / How to prepare your house for a {} / Schools shut as {} sweeps the coast /
Clean-up begins after the {} / Why this {} caught forecasters by surprise / Farmers count their losses after the {} /
In pictures: the day of the {}
- energy: wind farm, solar park, tidal turbine, hydroelectric dam, geothermal plant, biogas plant, battery plant |
Village votes for its own {} / {} breaks power output record / Protesters block work on new {} / Cheap electricity
from {} delights island / Investors pull out of giant {} / How a {} works / Birds and fish: the hidden cost of a {} /
Old coal mine becomes a {}
- conservation: rainforest, coral reef, wetland, mangrove forest, peat bog, prairie, kelp forest | Volunteers replant
a dying {} / Satellites show how fast the {} is vanishing / Court stops developer from draining {} / Rare species
return to restored {} / Indigenous rangers guard the {} / What a {} does for the climate / Pollution spill reaches
protected {} / National park to include unique {}
- recycling: plastic bottles, coffee cups, old batteries, food scraps, worn tyres, glass jars, used clothes | Where do
our {} really end up? / Deposit scheme for {} starts next month / Inventor turns {} into building bricks / Town that
recycles all its {} / Mountain of {} angers neighbours / Seven ways to reuse {} at home / Export ban on {} takes
effect / Supermarket chain collects {} at the door
"""
